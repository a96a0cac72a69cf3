import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHome, processesOf, startLocal, type LocalPlatform } from "./stigmer.ts";

// What people get wrong. Each mistake is one line that says what it is and what to do, and changes nothing.

interface Mistake {
  readonly args: readonly string[];
  /** What `bad.yaml` holds, when the mistake is in it. */
  readonly manifest?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly exitCode: 1 | 2;
  /** All of it stands in the one line. */
  readonly says: readonly string[];
}

const INSTRUCTIONS = "Do the work in three steps.";
const agent = (name: string, instructions = INSTRUCTIONS): string =>
  `apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: { name: ${name} }\nspec:\n  instructions: ${instructions}\n`;
const apply = ["apply", "-f", "bad.yaml"];
const nineTimes = (what: string): string => Array.from({ length: 9 }, () => what).join(", ");

const usage: Record<string, Mistake> = {
  "unknown command": { args: ["aply"], exitCode: 2, says: ["'aply'", "did you mean apply?", "`stigmer --help`"] },
  "unknown sub-command": { args: ["local", "begin"], exitCode: 2, says: ["'begin'", "`stigmer local --help`"] },
  "group without a command": {
    args: ["execution"],
    exitCode: 2,
    says: ["which command?", "`stigmer execution --help`"],
  },
  "unknown flag": { args: ["get", "agents", "--all"], exitCode: 2, says: ["'--all'", "`stigmer get --help`"] },
  "missing argument": { args: ["run", "worker"], exitCode: 2, says: ["'message'", "`stigmer run --help`"] },
  "missing option": { args: ["apply"], exitCode: 2, says: ["--file", "`stigmer apply --help`"] },
  "bad choice": { args: ["get", "agents", "-o", "xml"], exitCode: 2, says: ["'xml'", "table, yaml, json", "--help`"] },
  "bad port": { args: ["local", "start", "--port", "http"], exitCode: 2, says: ["'http'", "a number from 0 to 65535"] },
  "unknown kind": { args: ["get", "pods"], exitCode: 2, says: ["'pods'", "the kinds are agent, instance"] },
  "unknown component": { args: ["local", "logs", "proxy"], exitCode: 2, says: ['"proxy"', "Known: daemon"] },
};

const manifests: Record<string, Mistake> = {
  "malformed YAML": {
    args: apply,
    manifest: "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: { name: bad\nspec: {}\n",
    exitCode: 1,
    says: ["bad.yaml:4:1: ", "must be sufficiently indented and end with a }"],
  },
  "an unknown field": {
    args: apply,
    manifest: `${agent("bad")}  instruction: ${INSTRUCTIONS}\n`,
    exitCode: 1,
    says: ["bad.yaml:6:3: ", "spec.instruction: unknown field", "did you mean instructions?"],
  },
  "a duplicate key": {
    args: apply,
    manifest: `${agent("bad")}  instructions: Something else altogether.\n`,
    exitCode: 1,
    says: ["bad.yaml:6:3: ", 'duplicate key "instructions"', "keep one"],
  },
  "a wrong kind": {
    args: apply,
    manifest: agent("bad").replace("kind: Agent", "kind: Agnet"),
    exitCode: 1,
    says: ["bad.yaml:2:1: ", '"Agnet"', "did you mean Agent?"],
  },
  "a wrong apiVersion": {
    args: apply,
    manifest: agent("bad").replace("/v1", "/v2"),
    exitCode: 1,
    says: ["bad.yaml:1:1: ", 'apiVersion: is "agentic.stigmer.ai/v2"', "write agentic.stigmer.ai/v1"],
  },
  "no apiVersion": {
    args: apply,
    manifest: agent("bad").replace(/^.*\n/, ""),
    exitCode: 1,
    says: ["bad.yaml:1:1: ", "apiVersion: is missing", "write agentic.stigmer.ai/v1"],
  },
  "too short instructions": {
    args: apply,
    manifest: agent("bad", "Work"),
    exitCode: 1,
    says: ["bad.yaml:5:3: ", "spec.instructions: must be at least 10 characters"],
  },
  "a mistake in the second document": {
    args: apply,
    manifest: `${agent("good")}---\n${agent("bad", "Work")}`,
    exitCode: 1,
    says: ["bad.yaml:11:3: ", "spec.instructions: must be at least 10 characters"],
  },
  "two documents of one name": {
    args: apply,
    manifest: `${agent("bad")}---\n${agent("bad")}`,
    exitCode: 1,
    says: ["bad.yaml:9:13: ", "Agent bad is also in bad.yaml:3"],
  },
  "aliases that expand without end": {
    args: apply,
    manifest: Array.from(
      { length: 12 },
      (_, level) => `a${level}: &a${level} [${nineTimes(level === 0 ? "x" : `*a${level - 1}`)}]\n`,
    ).join(""),
    exitCode: 1,
    says: ["bad.yaml:1:1: ", "aliases expand to too much", "no more than 100"],
  },
  "an empty file": {
    args: apply,
    manifest: "",
    exitCode: 1,
    says: ["bad.yaml: ", "is empty", "begins with apiVersion"],
  },
  "20 MB": {
    args: apply,
    manifest: `${agent("bad")}  description: ${"x".repeat(20_000_000)}\n`,
    exitCode: 1,
    says: ["bad.yaml: ", "larger than 4 MiB", "split it"],
  },
  "a missing file": {
    args: ["apply", "-f", "nowhere.yaml"],
    exitCode: 1,
    says: ["nowhere.yaml: ", "no such file", "name one that is there"],
  },
};

const runs: Record<string, Mistake> = {
  "a missing agent": {
    args: ["run", "wroker", "Go."],
    exitCode: 1,
    says: ['no agent "wroker"', "did you mean worker?"],
  },
  "an empty message": {
    args: ["run", "worker", " "],
    exitCode: 2,
    says: ["message is empty", "say what the agent is to do"],
  },
  "a missing workspace": {
    args: ["run", "worker", "Go.", "--workspace", "nowhere"],
    exitCode: 1,
    says: ["--workspace nowhere", "no such directory", "make it first"],
  },
  "a workspace that is a file": {
    args: ["run", "worker", "Go.", "--workspace", "file"],
    exitCode: 1,
    says: ["--workspace file", "not a directory"],
  },
  "a variable without a value": {
    args: ["run", "worker", "Go.", "--env", "TOKEN"],
    exitCode: 2,
    says: ["--env TOKEN has no value", "write --env TOKEN=VALUE"],
  },
  "a variable with a bad name": {
    args: ["run", "worker", "Go.", "--env", "2K=v"],
    exitCode: 2,
    says: ['--env "2K"', "letters, digits and _"],
  },
  "a secret on the command line": {
    args: ["run", "worker", "Go.", "--secret", "TOKEN=v"],
    exitCode: 2,
    says: ["--secret takes a name alone", "set TOKEN in the environment"],
  },
  "a secret that is not set": {
    args: ["run", "worker", "Go.", "--secret", "TOKEN"],
    exitCode: 2,
    says: ["--secret TOKEN", "set TOKEN in the environment"],
  },
  "a missing session": {
    args: ["run", "worker", "Go.", "--session", "ses-01jcz4m9n0000000000000000"],
    exitCode: 1,
    says: ["ses-01jcz4m9n0000000000000000"],
  },
  "a missing run": {
    args: ["execution", "cancel", "aex-01jcz4m9n0000000000000000"],
    exitCode: 1,
    says: ["aex-01jcz4m9n0000000000000000"],
  },
  "a wrong key": {
    args: ["get", "agents"],
    env: { STIGMER_API_KEY: "not-the-key" },
    exitCode: 1,
    says: ["refuses the key", "set STIGMER_API_KEY"],
  },
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-bad-input-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function expectOneLine(
  on: Pick<LocalPlatform, "stigmer">,
  { args, manifest, env, exitCode, says }: Mistake,
): Promise<void> {
  const cwd = await mkdtemp(join(folder, "case-"));
  await writeFile(join(cwd, "file"), "");
  if (manifest !== undefined) await writeFile(join(cwd, "bad.yaml"), manifest);
  const result = await on.stigmer(args, { cwd, env });
  expect(result).toEqual({ exitCode, stdout: "", stderr: expect.stringMatching(/^\S[^\n]{10,300}\n$/) });
  for (const words of says) expect(result.stderr).toContain(words);
  expect(result.stderr).not.toMatch(/\n\s+at |node:internal|\[object|undefined/);
}

describe("without a daemon", () => {
  it.concurrent.each(Object.entries(usage))("%s", async (_, mistake) => {
    await using home = await makeHome();
    await expectOneLine(home, mistake);
    expect(await readdir(home.home)).toEqual([]);
  });

  it.concurrent("a server that is down", async () => {
    await using home = await makeHome();
    const says = ["Cannot reach stigmer-server at 127.0.0.1:9", "`stigmer local start`", "STIGMER_BACKEND_ENDPOINT"];
    const env = { STIGMER_BACKEND_ENDPOINT: "127.0.0.1:9" };
    await expectOneLine(home, { args: ["get", "agents"], env, exitCode: 1, says });
    expect(await readdir(home.home)).toEqual([]);
  });

  it.concurrent("a port in use", async () => {
    await using home = await makeHome();
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const { port } = other.address() as AddressInfo;
    try {
      const says = [`Port ${port} on 127.0.0.1 is in use`, "choose another port"];
      await expectOneLine(home, { args: ["local", "start", "--port", String(port)], exitCode: 1, says });
    } finally {
      other.close();
    }
    expect(await processesOf(home.home)).toEqual([]);
    expect(await home.status()).toMatchObject({ running: false, processes: [] });
  });

  it.concurrent.each([
    ["that is no YAML", "llm: [\n  provider: : anthropic\n", ["config.yaml:2:13: "]],
    ["with an unknown field", "llm:\n  modle: x\n", ["config.yaml:2:3: ", "llm.modle", "did you mean model?"]],
    ["with a wrong value", "llm:\n  provider: bedrock\n", ["config.yaml:2:3: ", '"anthropic"|"openai"|"ollama"']],
    ["with a key in it", "llm:\n  apiKey: hush\n", ["config.yaml:2:3: ", "remove it", "ANTHROPIC_API_KEY"]],
  ])("a config.yaml %s", async (_, text, says) => {
    await using home = await makeHome();
    await writeFile(join(home.home, "config.yaml"), text);
    await expectOneLine(home, { args: ["local", "start", "--port", "0"], exitCode: 1, says });
    expect(await readdir(home.home)).toEqual(["config.yaml"]);
  });

  it.concurrent("a home that can't be written", async () => {
    await using home = await makeHome();
    const file = join(home.home, "file");
    await writeFile(file, "mine");
    const env = { STIGMER_HOME: join(file, "home") };
    const says = [`Cannot write to ${file}/home`, "STIGMER_HOME"];
    await expectOneLine(home, { args: ["local", "start", "--port", "0"], env, exitCode: 1, says });
    expect(await readFile(file, "utf8")).toBe("mine");
  });
});

describe("with a daemon", () => {
  let platform: LocalPlatform;
  let before: unknown;

  const everything = async (): Promise<unknown> => {
    const kinds = ["agents", "sessions", "executions"];
    const shown = await Promise.all(kinds.map((kind) => platform.stigmer(["get", kind, "-o", "json"])));
    return Object.fromEntries(shown.map(({ stdout, stderr }, i) => [kinds[i], JSON.parse(stdout || stderr)]));
  };

  beforeAll(async () => {
    await mkdir(join(folder, "model"));
    const scenario = join(folder, "model/scenario.yaml");
    await writeFile(scenario, "name: none\nscenarios: [{ name: none, turns: [{ text: Done. }] }]\n");
    platform = await startLocal(scenario);
    const applied = await platform.stigmer(["apply", "-f", "-"], { stdin: agent("worker") });
    expect(applied, applied.stderr).toMatchObject({ exitCode: 0 });
    before = await everything();
    expect(before).toMatchObject({ agents: [{ metadata: { name: "worker" } }], sessions: [], executions: [] });
  }, 60_000);
  // What was there is there, and nothing else: no session of a run that never began.
  afterAll(async () => {
    try {
      expect(await everything()).toEqual(before);
      expect(platform.model.requests).toEqual([]);
    } finally {
      await platform[Symbol.asyncDispose]();
    }
  }, 60_000);

  describe("a manifest:", () => {
    it.concurrent.each(Object.entries(manifests))("%s", async (_, mistake) => {
      await expectOneLine(platform, mistake);
    });
    it("none of them was applied", async () => {
      expect(await everything()).toEqual(before);
    });
  });

  it.concurrent.each(Object.entries(runs))("%s", async (_, mistake) => {
    await expectOneLine(platform, mistake);
  });

  it("a restart with a broken config.yaml leaves the daemon as it is", async () => {
    const config = join(platform.home, "config.yaml");
    const daemon = await platform.status();
    await writeFile(config, "llm:\n  modle: x\n");
    try {
      await expectOneLine(platform, {
        args: ["local", "restart"],
        exitCode: 1,
        says: ["config.yaml:2:3: ", "llm.modle"],
      });
    } finally {
      await rm(config);
    }
    const after = await platform.status();
    expect(after.processes.map(({ pid }) => pid)).toEqual(daemon.processes.map(({ pid }) => pid));
  });
});
