import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExecutionPhase, MessageType, type AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import { ApiResourceKind } from "@stigmer/protos/apiresourcekind";
import { buildZip, type ZipEntry } from "@stigmer/skills/hostile-archives";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPlatform, type Platform } from "./__fixtures__/platform.ts";

// Skills in a run, seen from the API, the workspace and the model: real server, runner and graph.

let platform: Platform;
let folder: string;

const readIt = { from: "system", pattern: "File: (/\\S+)" } as const;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-skills-"));
  platform = await startPlatform({
    name: "skills",
    scenarios: [
      {
        name: "reads its skill",
        match: { human: "read your skill" },
        capture: { skill: readIt },
        turns: [
          { toolCalls: [{ name: "read_file", args: { file_path: "{{ skill }}" } }] },
          { text: 'It says {{ result("read_file", "secret word: (\\S+)") }}.' },
        ],
      },
      {
        name: "runs its skill's program",
        match: { human: "run your skill" },
        capture: { folder: { from: "system", pattern: "File: (/\\S+)/SKILL.md" } },
        turns: [
          { toolCalls: [{ name: "execute", args: { command: "{{ folder }}/scripts/run.sh" } }] },
          { text: 'It printed {{ result("execute", "^(.*)") }}.' },
        ],
      },
      {
        name: "hands over",
        match: { human: "hand it over" },
        turns: [
          { toolCalls: [{ name: "task", args: { subagent_type: "helper", description: "help with it" } }] },
          { text: "Handed over." },
        ],
      },
      { name: "helps", match: { human: "help with it" }, turns: [{ text: "Helped." }] },
      { name: "says hello", turns: [{ text: "Hello." }] },
    ],
  });
  await platform.runner();
}, 60_000);

afterAll(async () => {
  await platform[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const text = (name: string, body: string): string =>
  `---\nname: ${name}\ndescription: Use ${name} for all work.\n---\n${body}\n`;
const script = (word: string): ZipEntry => ({
  name: "scripts/run.sh",
  content: `#!/bin/sh\necho ${word}\n`,
  mode: 0o100755,
});

async function push(name: string, body: string, more: { files?: ZipEntry[]; tag?: string } = {}): Promise<string> {
  const artifact = buildZip([{ name: "SKILL.md", content: text(name, body) }, ...(more.files ?? [])]);
  const skill = await platform.client.skills.push({ name, artifact, tag: more.tag });
  expect(skill.status?.versionHash).toBe(createHash("sha256").update(artifact).digest("hex"));
  return skill.status?.versionHash ?? "";
}

const ref = (slug: string, version = ""): { kind: ApiResourceKind; slug: string; version: string } => ({
  kind: ApiResourceKind.skill,
  slug,
  version,
});

const answer = ({ messages }: AgentExecutionStatus): string =>
  messages.findLast(({ type }) => type === MessageType.MESSAGE_AI)?.content ?? "";

/** The system prompts that the model got since a moment, the first of each kind. */
const systemSince = (count: number): string[] =>
  platform.model.requests.slice(count).map(({ body }) => JSON.stringify((body as { system: unknown }).system));

const workspaceOf = (sessionId: string): string => join(platform.home, "workspaces", sessionId);
const OURS = ".stigmer-skills.json";

describe("a skill with files", () => {
  it("is unpacked, read and run by the agent, and told in the status", async () => {
    const hash = await push("tool", "secret word: xyzzy", {
      files: [script("plugh"), { name: "data/t.csv", content: "1" }],
    });
    const agent = await platform.applyAgent({ skillRefs: [ref("tool")] }, "reader");
    const session = await platform.createSession(agent);
    const sessionId = session.metadata?.id ?? "";
    const skills = join(workspaceOf(sessionId), "skills");
    const first = await platform.run({ sessionId, message: "read your skill" });
    expect(first).toMatchObject({ phase: ExecutionPhase.EXECUTION_COMPLETED, error: "" });
    expect(answer(first)).toBe("It says xyzzy.");
    expect(first.skills).toMatchObject([
      {
        name: "tool",
        versionHash: hash,
        path: expect.stringMatching(/\/skills\/tool\/SKILL\.md$/) as string,
        subAgent: "",
      },
    ]);
    expect((await readdir(join(skills, "tool"))).toSorted()).toEqual(["SKILL.md", "data", "scripts"]);
    expect(await readFile(join(skills, "tool/SKILL.md"), "utf8")).toBe(text("tool", "secret word: xyzzy"));

    const written = async (): Promise<unknown> =>
      Promise.all(
        ["tool/SKILL.md", "tool/scripts/run.sh", OURS].map(async (path) => (await stat(join(skills, path))).ino),
      );
    const before = await written();
    const next = await platform.run({ sessionId, message: "run your skill" });
    expect(answer(next)).toBe("It printed plugh.");
    expect(next.skills).toEqual(first.skills);
    expect(await written(), "a next turn writes nothing").toEqual(before);

    const changed = await push("tool", "secret word: other", { files: [script("new")] });
    const third = await platform.run({ sessionId, message: "run your skill" });
    expect(answer(third)).toBe("It printed new.");
    expect(third.skills[0]?.versionHash).toBe(changed);
    expect((await readdir(join(skills, "tool"))).toSorted()).toEqual(["SKILL.md", "scripts"]);

    await platform.applyAgent({ skillRefs: [] }, "reader");
    const last = await platform.run({ sessionId, message: "hi" });
    expect(last.skills).toEqual([]);
    expect(await readdir(skills)).toEqual([OURS]);
  });

  it("leaves a person's own skills alone", async () => {
    await push("shared", "Text", { files: [script("x")] });
    const workspaceDir = await mkdtemp(join(folder, "own-"));
    const own = join(workspaceDir, ".stigmer/skills");
    await mkdir(join(own, "mine"), { recursive: true });
    await writeFile(join(own, "mine/SKILL.md"), "mine");
    const agent = await platform.applyAgent({ skillRefs: [ref("shared")] }, "guest");
    const session = await platform.createSession(agent, { workspaceDir });
    const sessionId = session.metadata?.id ?? "";
    expect((await platform.run({ sessionId, message: "hi" })).error).toBe("");
    expect((await readdir(own)).toSorted()).toEqual([OURS, "mine", "shared"]);
    await platform.applyAgent({ skillRefs: [] }, "guest");
    await platform.run({ sessionId, message: "hi" });
    expect((await readdir(own)).toSorted()).toEqual([OURS, "mine"]);
    expect(await readFile(join(own, "mine/SKILL.md"), "utf8")).toBe("mine");
    expect((await readdir(workspaceDir)).toSorted()).toEqual([".stigmer"]);
  });

  it("of 60 MB goes through server and runner", { timeout: 120_000 }, async () => {
    const content = randomBytes(60 * 1024 * 1024);
    await push("large", "Text", { files: [{ name: "data.bin", content, stored: true }] });
    const agent = await platform.applyAgent({ skillRefs: [ref("large")] }, "lifter");
    const session = await platform.createSession(agent);
    const sessionId = session.metadata?.id ?? "";
    expect((await platform.run({ sessionId, message: "hi" })).error).toBe("");
    const unpacked = await readFile(join(workspaceOf(sessionId), "skills/large/data.bin"));
    expect(unpacked.equals(content)).toBe(true);
  });
});

describe("progressive disclosure", () => {
  it("makes a request no longer for a longer skill; the agent reads the body itself", async () => {
    const agent = await platform.applyAgent({ skillRefs: [ref("deep"), ref("flat")] }, "diver");
    const filler = Array.from({ length: 300 }, (_, line) => `${line}. ${randomBytes(30).toString("hex")}`).join("\n");
    const lengths: number[] = [];
    const tokens: number[] = [];
    for (const body of ["secret word: deep", `secret word: deep\n\n${filler}`]) {
      await push("deep", body, { files: [{ name: "notes.md", content: body }] });
      await push("flat", body);
      const session = await platform.createSession(agent);
      const count = platform.model.requests.length;
      const status = await platform.run({ sessionId: session.metadata?.id, message: "read your skill" });
      expect(answer(status)).toBe("It says deep.");
      const requests = platform.model.requests.slice(count).map(({ body }) => JSON.stringify(body));
      expect(requests).toHaveLength(2);
      expect(requests[0]).not.toContain("secret word");
      expect(requests[1]).toContain("secret word: deep");
      lengths.push(requests[0]?.length ?? 0);
      tokens.push(status.usage?.inputTokens ?? 0);
    }
    expect(lengths[1]).toBe(lengths[0]);
    // What it then reads, it pays for.
    expect(tokens[1]).toBeGreaterThan((tokens[0] ?? 0) + 1_000);
  });
});

describe("whose skills they are", () => {
  it("gives the agent its own and the session's, and a sub-agent its own", async () => {
    for (const name of ["of-agent", "of-session", "of-helper"]) await push(name, `Body of ${name}`);
    const agent = await platform.applyAgent(
      {
        skillRefs: [ref("of-agent")],
        subAgents: [
          {
            name: "helper",
            description: "Helps.",
            instructions: "You help with what you get.",
            skillRefs: [ref("of-helper"), ref("of-agent")],
          },
        ],
      },
      "boss",
    );
    const session = await platform.createSession(agent, { skillRefs: [ref("of-session")] });
    const count = platform.model.requests.length;
    const status = await platform.run({ sessionId: session.metadata?.id, message: "hand it over" });
    expect(answer(status)).toBe("Handed over.");
    const [main = "", helper = ""] = systemSince(count);
    const listed = (system: string): string[] =>
      [...system.matchAll(/\*\*(of-[a-z]+)\*\*/g)].map(([, name]) => name ?? "");
    expect(listed(main)).toEqual(["of-agent", "of-session"]);
    expect(listed(helper)).toEqual(["of-helper", "of-agent"]);
    expect(status.skills.map(({ name, subAgent }) => [name, subAgent])).toEqual([
      ["of-agent", ""],
      ["of-session", ""],
      ["of-helper", "helper"],
      ["of-agent", "helper"],
    ]);
    expect((await readdir(join(workspaceOf(session.metadata?.id ?? ""), "skills"))).toSorted()).toEqual([
      OURS,
      "of-agent.md",
      "of-helper.md",
      "of-session.md",
    ]);
  });

  it("gives the version that a reference asks for", async () => {
    const hash = await push("versioned", "secret word: one", { tag: "stable" });
    const newest = await push("versioned", "secret word: two");
    for (const [version, word, versionHash] of [
      ["", "two", newest],
      ["latest", "two", newest],
      ["stable", "one", hash],
      [hash, "one", hash],
      [hash.toUpperCase(), "one", hash],
    ] as const) {
      const agent = await platform.applyAgent({ skillRefs: [ref("versioned", version)] }, "historian");
      const status = await platform.run({ agentId: agent.metadata?.id, message: "read your skill" });
      expect(answer(status), version).toBe(`It says ${word}.`);
      expect(status.skills[0]?.versionHash).toBe(versionHash);
    }
  });
});

describe("a run fails before the first model call", () => {
  async function fails(
    spec: Parameters<Platform["applyAgent"]>[0],
    session: Parameters<Platform["createSession"]>[1] = {},
  ): Promise<string> {
    const agent = await platform.applyAgent(spec, "failing");
    const count = platform.model.requests.length;
    const { metadata } = await platform.createSession(agent, session);
    const status = await platform.run({ sessionId: metadata?.id, message: "hi" });
    expect(status.phase).toBe(ExecutionPhase.EXECUTION_FAILED);
    expect(status.messages.at(-1)?.type).toBe(MessageType.MESSAGE_SYSTEM);
    expect(platform.model.requests.length).toBe(count);
    return status.error;
  }

  it("when a reference leads nowhere", async () => {
    await push("there", "Text");
    expect(await fails({ skillRefs: [ref("nowhere")] })).toMatch(/^spec\.skill_refs\[0\]: .*nowhere/);
    expect(await fails({ skillRefs: [ref("there", "no-such-tag")] })).toMatch(/^spec\.skill_refs\[0\]: .*no-such-tag/);
    expect(await fails({}, { skillRefs: [ref("there"), ref("nowhere")] })).toMatch(
      /^session spec\.skill_refs\[1\]: .*nowhere/,
    );
    const helper = { name: "helper", description: "Helps.", instructions: "You help with what you get." };
    expect(await fails({ subAgents: [{ ...helper, skillRefs: [ref("nowhere")] }] })).toMatch(
      /^spec\.sub_agents\[0\]\.skill_refs\[0\]: .*nowhere/,
    );
  });

  it("when two skills have one name", async () => {
    const hash = await push("twin", "Text", { tag: "old" });
    await push("twin", "Other text");
    expect(await fails({ skillRefs: [ref("twin", "old"), ref("twin")] })).toBe(
      'two skills are called "twin": spec.skill_refs[0] (twin@old) and spec.skill_refs[1] (twin) are not the same version. Keep one of them.',
    );
    expect(await fails({ skillRefs: [ref("twin")] }, { skillRefs: [ref("twin", hash)] })).toMatch(
      /spec\.skill_refs\[0\] \(twin\) and session spec\.skill_refs\[0\] \(twin@/,
    );
  });

  it("when its name is taken in the workspace", async () => {
    await push("taken", "Text", { files: [script("x")] });
    const workspaceDir = await mkdtemp(join(folder, "taken-"));
    await mkdir(join(workspaceDir, ".stigmer/skills/taken"), { recursive: true });
    expect(await fails({ skillRefs: [ref("taken")] }, { workspaceDir })).toBe(
      'spec.skill_refs[0] (taken): Skill "taken": .stigmer/skills/taken is there already, and was not put there for it: move it away, or rename the skill.',
    );
  });
});
