import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toJsonString } from "@bufbuild/protobuf";
import { ApiResourceReferenceSchema } from "@stigmer/protos/apiresource";
import { ApiResourceKind } from "@stigmer/protos/apiresourcekind";
import { EnvironmentSchema } from "@stigmer/protos/environment/v1";
import {
  AgentExecutionStatusSchema,
  ExecutionPhase,
  MessageType,
  ToolCallStatus,
  type AgentExecutionStatus,
} from "@stigmer/protos/agentexecution/v1";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { header, startPlatform, type Platform } from "./__fixtures__/platform.ts";
import { processesIn } from "./__fixtures__/processes-in.ts";
import { until } from "./__fixtures__/until.ts";

// What a run is, seen from the API: real server, real runner process, real tools; only the model's words are scripted.

let platform: Platform;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-runs-"));
  platform = await startPlatform({
    name: "runs",
    scenarios: [
      {
        name: "write and read",
        match: { human: "write and read" },
        turns: [
          { toolCalls: [{ name: "write_file", args: { file_path: "a.txt", content: "made by the agent" } }] },
          { toolCalls: [{ name: "execute", args: { command: "cat a.txt; echo; pwd" } }] },
          { text: 'It says: {{ result("execute", "^(.*)") }}' },
        ],
      },
      {
        name: "print the environment",
        match: { human: "print the environment" },
        turns: [
          {
            toolCalls: [
              {
                name: "execute",
                args: {
                  command: "echo $AGENT_ONLY $REF $RUN $TOKEN ${#RUN}; env | grep -c '^ANTHROPIC\\|^STIGMER' || true",
                },
              },
            ],
          },
          { text: 'Seen: {{ result("execute") }}' },
        ],
      },
      {
        name: "remember",
        match: { human: "what did I say" },
        turns: [{ text: "You said: {{ first }}" }],
        capture: { first: { from: "firstHuman", pattern: "(.+)" } },
      },
      { name: "greet", match: { human: "my name is Ada" }, turns: [{ text: "Hello Ada." }] },
      {
        name: "sleep",
        match: { human: "sleep" },
        turns: [
          { toolCalls: [{ name: "execute", args: { command: "echo started > started; sleep 300" } }] },
          { text: "slept" },
        ],
      },
      {
        name: "three effects",
        match: { human: "three effects" },
        turns: [
          { toolCalls: [{ name: "execute", args: { command: "echo one >> effects" } }] },
          {
            toolCalls: [
              { name: "execute", args: { command: "echo two >> effects; while [ ! -e go ]; do sleep 0.05; done" } },
            ],
          },
          { toolCalls: [{ name: "execute", args: { command: "echo three >> effects" } }] },
          { text: "done" },
        ],
      },
      {
        name: "refused",
        match: { human: "be refused" },
        turns: [{ error: { status: 401, message: "invalid x-api-key" } }],
      },
    ],
  });
  await platform.runner();
}, 60_000);

afterAll(async () => {
  await platform[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function answer(status: AgentExecutionStatus): string {
  return status.messages.findLast(({ type }) => type === MessageType.MESSAGE_AI)?.content ?? "";
}

describe("a run", () => {
  it("works in its session's own workspace, and its status tells it all", async () => {
    const agent = await platform.applyAgent();
    const status = await platform.run({ agentId: agent.metadata?.id, message: "write and read" });
    expect(status.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
    expect(answer(status)).toBe("It says: made by the agent");
    expect(status.messages[0]).toMatchObject({ type: MessageType.MESSAGE_HUMAN, content: "write and read" });
    expect(status.toolCalls.map(({ name, status }) => [name, status])).toEqual([
      ["write_file", ToolCallStatus.TOOL_CALL_COMPLETED],
      ["execute", ToolCallStatus.TOOL_CALL_COMPLETED],
    ]);
    expect(status.usage?.modelCalls).toBe(3);
    expect(status.completedAt >= status.startedAt).toBe(true);
    const [session] = await readdir(join(platform.home, "workspaces"));
    expect(await readFile(join(platform.home, "workspaces", session ?? "", "a.txt"), "utf8")).toBe("made by the agent");
  });

  it("tells what it may have cost, by the user's own prices where there are some", async () => {
    const agentId = (await platform.applyAgent()).metadata?.id;
    const listed = await platform.run({ agentId, message: "my name is Ada" });
    expect(listed.usage?.costMicroUsd).toBeGreaterThan(0);
    const file = join(platform.home, "config.yaml");
    await writeFile(
      file,
      "llm:\n  prices:\n    claude: { input: 2, output: 0, cache_write: 2, cached_input: 2 }\n    claude-sonnet-4-5: { input: 1000, output: 0, cache_write: 1000, cached_input: 1000 }\n",
    );
    try {
      const priced = await platform.run({ agentId, message: "my name is Ada" });
      expect(priced.usage?.costMicroUsd).toBe(1000 * (priced.usage?.inputTokens ?? 0));
      expect(priced.messages[1]?.usage).toMatchObject({ costMicroUsd: priced.usage?.costMicroUsd });
    } finally {
      await rm(file);
    }
  });

  it("uses a person's own directory as it is", async () => {
    const workspaceDir = await mkdtemp(join(folder, "own-"));
    await writeFile(join(workspaceDir, "mine.txt"), "mine");
    const session = await platform.createSession(await platform.applyAgent(), { workspaceDir });
    const status = await platform.run({ sessionId: session.metadata?.id, message: "write and read" });
    expect(status.toolCalls[1]?.result).toContain(workspaceDir);
    expect((await readdir(workspaceDir)).toSorted()).toEqual(["a.txt", "mine.txt"]);
    await platform.client.sessions.delete(session.metadata?.id ?? "");
    expect((await readdir(workspaceDir)).toSorted()).toEqual(["a.txt", "mine.txt"]);
  });

  it("remembers earlier turns of its session, and no other's", async () => {
    const agent = await platform.applyAgent();
    const session = await platform.createSession(agent);
    const sessionId = session.metadata?.id;
    await platform.run({ sessionId, message: "my name is Ada" });
    expect(answer(await platform.run({ sessionId, message: "what did I say first?" }))).toBe(
      "You said: my name is Ada",
    );
    expect(answer(await platform.run({ agentId: agent.metadata?.id, message: "what did I say first?" }))).toBe(
      "You said: what did I say first?",
    );
  });

  it("merges environments, gives them to commands, and shows no secret", async () => {
    const refs = [];
    for (const [name, value] of [
      ["first", "first"],
      ["second", "second"],
    ] as const) {
      const environment = await platform.client.environments.apply(
        create(EnvironmentSchema, {
          ...header,
          kind: "Environment",
          metadata: { name: `env-${name}` },
          spec: { data: { REF: { value }, RUN: { value }, TOKEN: { value: "s3cret-token-value", isSecret: true } } },
        }),
      );
      refs.push(
        create(ApiResourceReferenceSchema, { kind: ApiResourceKind.environment, slug: environment.metadata?.slug }),
      );
    }
    const agent = await platform.applyAgent(
      {
        instructions: "Print what you are told.",
        envSpec: { data: { AGENT_ONLY: { value: "agent" }, REF: { value: "agent" }, RUN: { value: "agent" } } },
      },
      "environmental",
    );
    const { items } = await platform.client.agentInstances.listByAgent(agent.metadata?.id ?? "");
    const instance = items[0];
    if (!instance?.spec) throw new Error("no default instance");
    instance.spec.environmentRefs = refs;
    await platform.client.agentInstances.update(instance);
    const status = await platform.run({
      agentId: agent.metadata?.id,
      message: "print the environment",
      runtimeEnv: { RUN: { value: "run-secret-value", isSecret: true } },
    });
    expect(status.toolCalls[0]?.result).toMatch(/^agent second \*{8} \*{8} 16\n0\n/);
    expect(toJsonString(AgentExecutionStatusSchema, status)).not.toMatch(/s3cret-token-value|run-secret-value/);
  });

  it("fails before the model is asked when a skill is missing, naming the field", async () => {
    const agent = await platform.applyAgent(
      {
        instructions: "Use your skill.",
        skillRefs: [{ kind: ApiResourceKind.skill, slug: "no-such-skill" }],
      },
      "skill-less",
    );
    const status = await platform.run({ agentId: agent.metadata?.id, message: "write and read" });
    expect(status.phase).toBe(ExecutionPhase.EXECUTION_FAILED);
    expect(status.error).toMatch(/^spec\.skill_refs\[0\]: skill "no-such-skill": /);
    expect(status.messages.at(-1)).toMatchObject({ type: MessageType.MESSAGE_SYSTEM, content: status.error });
    expect(status.usage?.modelCalls ?? 0).toBe(0);
  });

  it("fails with the model's reason and what to do", async () => {
    const agent = await platform.applyAgent();
    const status = await platform.run({ agentId: agent.metadata?.id, message: "be refused" });
    expect(status.phase).toBe(ExecutionPhase.EXECUTION_FAILED);
    expect(status.error).toMatch(/key/i);
    expect(status.error).not.toContain("scripted-model-key");
  });

  it("is cancelled with everything it started", async () => {
    const workspaceDir = await mkdtemp(join(folder, "cancel-"));
    const session = await platform.createSession(await platform.applyAgent(), { workspaceDir });
    const execution = await platform.submit({ sessionId: session.metadata?.id, message: "sleep" });
    await platform.follow(execution, ({ toolCalls }) => toolCalls[0]?.status === ToolCallStatus.TOOL_CALL_RUNNING);
    await until(async () => (await readdir(workspaceDir)).includes("started"));
    await platform.client.executions.cancel(execution.metadata?.id ?? "", "changed my mind");
    const status = await platform.follow(execution);
    expect(status.phase).toBe(ExecutionPhase.EXECUTION_CANCELLED);
    expect(status.toolCalls[0]?.status).toBe(ToolCallStatus.TOOL_CALL_CANCELLED);
    await until(async () => (await processesIn(workspaceDir)) === 0);
  });

  it("goes on with the next runner when its own is killed", { timeout: 60_000 }, async () => {
    const workspaceDir = await mkdtemp(join(folder, "resume-"));
    const session = await platform.createSession(await platform.applyAgent(), { workspaceDir });
    const doomed = await platform.runner();
    const successor = await platform.runner();
    const execution = await platform.submit({ sessionId: session.metadata?.id, message: "three effects" });
    await until(async () => (await readFile(join(workspaceDir, "effects"), "utf8").catch(() => "")).includes("two"));
    // Whichever of the runners holds the run is the one to die.
    const log = `"executionId":"${execution.metadata?.id}"`;
    const holder = [doomed, successor].find((runner) => runner.output().includes(log));
    holder?.process.kill("SIGKILL");
    await writeFile(join(workspaceDir, "go"), "");
    const status = await platform.follow(execution);
    expect(status.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
    expect(answer(status)).toBe("done");
    expect(status.toolCalls).toHaveLength(3);
    expect(status.messages.filter(({ type }) => type === MessageType.MESSAGE_AI)).toHaveLength(4);
    const effects = (await readFile(join(workspaceDir, "effects"), "utf8")).trim().split("\n");
    expect(effects).toEqual(["one", "two", "three"]);
  });
});
