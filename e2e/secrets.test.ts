import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createSqliteCheckpointer } from "@stigmer/agent";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { processesOf, startLocal, treeOf, until, type LocalPlatform, type Result, type Started } from "./stigmer.ts";

// Canaries: secrets that stand nowhere else in the world are given to the platform in every way there is, used, printed
// by the agent's commands, and then looked for in everything that it wrote, printed, sent and shows to other processes.

const canary = (name: string): string => `canary-${name}-${randomBytes(12).toString("hex")}`;

const secrets = {
  "the model's key": canary("model"),
  "an environment's secret": canary("environment"),
  "the agent's own secret": canary("agent"),
  "a run's secret": canary("run"),
  "what fills an MCP server's placeholder": canary("placeholder"),
  "a shared MCP server's own secret": canary("shared"),
};
const declared = [secrets["an environment's secret"], secrets["the agent's own secret"], secrets["a run's secret"]];

// An MCP server that tells what it should keep to itself, in its results and on stderr.
const MCP_SERVER = `
const token = () => "told: " + process.env.TOKEN;
const answers = {
  initialize: ({ protocolVersion }) => ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "teller", version: "1" } }),
  "tools/list": () => ({ tools: [{ name: "tell", inputSchema: { type: "object", properties: { times: { type: "number" } } } }] }),
  "tools/call": ({ arguments: { times = 1 } = {} }) => {
    console.error(token());
    if (times === 0) throw new Error(token());
    return { content: [{ type: "text", text: Array.from({ length: times }, (_, at) => at + " " + token()).join("\\n") }], structuredContent: { token: token() } };
  },
};
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  let answer;
  try {
    answer = { result: answers[method] ? answers[method](params) : {} };
  } catch ({ message }) {
    answer = { error: { code: -32000, message } };
  }
  console.log(JSON.stringify({ jsonrpc: "2.0", id, ...answer }));
});
`;
const STDIO = JSON.stringify({ command: process.execPath, args: ["TELLER"] });

const MANIFESTS = `apiVersion: agentic.stigmer.ai/v1
kind: Environment
metadata: { name: vault }
spec:
  data:
    FROM_ENVIRONMENT: { value: ${secrets["an environment's secret"]}, isSecret: true }
    OPEN: { value: plain-and-open }
---
apiVersion: agentic.stigmer.ai/v1
kind: McpServer
metadata: { name: shared }
spec:
  stdio: ${STDIO}
  envSpec:
    data:
      TOKEN: { value: ${secrets["a shared MCP server's own secret"]}, isSecret: true }
---
apiVersion: agentic.stigmer.ai/v1
kind: Agent
metadata: { name: worker }
spec:
  instructions: Use the tokens that you are given.
  envSpec:
    data:
      FROM_AGENT: { value: ${secrets["the agent's own secret"]}, isSecret: true }
      FOR_SERVER: { value: ${secrets["what fills an MCP server's placeholder"]}, isSecret: true }
  mcpServers:
    - name: own
      stdio: { envPlaceholders: { TOKEN: "Bearer \${FOR_SERVER}" }, command: ${process.execPath}, args: [TELLER] }
  mcpServerRefs:
    - ref: { kind: mcp_server, slug: shared }
  subAgents:
    - name: helper
      description: Helps with tokens.
      instructions: Use the tokens that you are given.
      mcpServers: [own]
---
apiVersion: agentic.stigmer.ai/v1
kind: AgentInstance
metadata: { name: keeper }
spec:
  agentId: worker
  environmentRefs: [{ kind: environment, slug: vault }]
---
apiVersion: agentic.stigmer.ai/v1
kind: Session
metadata: { name: work }
spec:
  agentInstanceId: keeper
  workspaceDir: WORKSPACE
`;

const ALL = "$FROM_ENVIRONMENT $FROM_AGENT $FROM_RUN";
const SCENARIO = `name: secrets
scenarios:
  - name: helps
    match: { firstHuman: Help with the tokens. }
    turns:
      - toolCalls: [{ name: execute, args: { command: "echo helped ${ALL}" } }, { name: own__tell, args: {} }]
      - text: 'It is {{ result("execute", "helped .*") }}, {{ result("own__tell", "told: .*") }}'
  - name: uses and prints them
    turns:
      - toolCalls: [{ name: execute, args: { command: "for each in ${ALL} $OPEN; do echo $each | wc -c; done" } }]
      - toolCalls: [{ name: execute, args: { command: "printf '%s\\\\n' ${ALL} > tokens.txt; echo ${ALL} $OPEN" } }]
      - toolCalls: [{ name: execute, args: { command: "for each in ${ALL}; do printf %.20s $each; sleep 0.05; echo $each | cut -c21-; echo $each >&2; done" } }]
      - toolCalls: [{ name: read_file, args: { file_path: tokens.txt } }]
      - toolCalls: [{ name: grep, args: { pattern: canary } }]
      - toolCalls: [{ name: execute, args: { command: "for i in $(seq 2000); do echo $i ${ALL}; done" } }]
      - toolCalls:
          - { name: own__tell, args: {} }
          - { name: shared__tell, args: {} }
          - { name: own__tell, args: { times: 2000 } }
          - { name: shared__tell, args: { times: 0 } }
      - toolCalls: [{ name: task, args: { subagent_type: helper, description: Help with the tokens. } }]
      - text: 'I was told: {{ result("execute") }}'
        toolCalls: [{ name: execute, args: { command: "touch waiting; while [ ! -e go ]; do sleep 0.05; done; env; exit 1" } }]
      - text: Done.
`;

let folder: string;
let workspace: string;
let platform: LocalPlatform;
const printed: [command: string, result: Result][] = [];
let run: Started;

async function stigmer(args: readonly string[], options?: Parameters<LocalPlatform["stigmer"]>[1]): Promise<Result> {
  const result = await platform.stigmer(args, options);
  printed.push([args.join(" "), result]);
  return result;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-secrets-"));
  workspace = join(folder, "workspace");
  await mkdir(workspace);
  await mkdir(join(folder, "tmp"));
  const scenario = join(folder, "scenario.yaml");
  await writeFile(scenario, SCENARIO);
  const teller = join(folder, "teller.cjs");
  await writeFile(teller, MCP_SERVER);
  platform = await startLocal(scenario, {
    modelKey: secrets["the model's key"],
    env: { TMPDIR: join(folder, "tmp"), LOG_LEVEL: "DEBUG" },
  });
  printed.push(["local start", platform.started]);
  const applied = await stigmer(["apply", "-f", "-"], {
    stdin: MANIFESTS.replace("WORKSPACE", workspace).replaceAll("TELLER", teller),
  });
  expect(applied, applied.stderr).toMatchObject({ exitCode: 0 });
  const session = /Session \S+ created \((\S+)\)/.exec(applied.stdout)?.[1] ?? "";
  run = platform.start(["run", "worker", "Go.", "--session", session, "--secret", "FROM_RUN"], {
    env: { FROM_RUN: secrets["a run's secret"] },
  });
  await until(async () => (await readdir(workspace)).includes("waiting"), 120);
}, 150_000);

afterAll(async () => {
  await platform[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** Where any of the secrets stands in these bytes, as it is or encoded. */
function leaksIn(where: string, bytes: Buffer): string[] {
  return Object.entries(secrets).flatMap(([name, secret]) =>
    [secret, Buffer.from(secret).toString("base64").replace(/=+$/, ""), Buffer.from(secret).toString("hex")].flatMap(
      (form) => {
        const offset = bytes.indexOf(form);
        return offset < 0 ? [] : [`${name} in ${where} at byte ${offset}`];
      },
    ),
  );
}

async function leaksBelow(root: string): Promise<{ files: string[]; leaks: string[] }> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const leaks: string[] = [];
  // A journal may be gone by the time it is its turn.
  for (const file of files) leaks.push(...leaksIn(file, await readFile(file).catch(() => Buffer.alloc(0))));
  return { files: files.map((file) => file.slice(root.length + 1)), leaks };
}

/** Where any of them stands in a database's rows: values that don't fit on a page are cut where bytes are searched. */
function leaksInDatabase(file: string): { leaks: string[]; masked: string[] } {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    const leaks: string[] = [];
    const masked = new Set<string>();
    for (const { name } of tables) {
      for (const row of database.prepare(`SELECT * FROM "${String(name)}"`).all()) {
        for (const [column, value] of Object.entries(row)) {
          const bytes = Buffer.from(value instanceof Uint8Array ? value : String(value));
          leaks.push(...leaksIn(`${file} ${String(name)}.${column}`, bytes));
          if (bytes.includes("********")) masked.add(String(name));
        }
      }
    }
    return { leaks, masked: [...masked].toSorted() };
  } finally {
    database.close();
  }
}

/** As a runner reads them: in their rows they are packed. */
async function conversationsIn(path: string): Promise<{ values: Buffer; writes: Buffer }> {
  const checkpointer = await createSqliteCheckpointer({ path });
  try {
    const values: unknown[] = [];
    const writes: unknown[] = [];
    for await (const { checkpoint, metadata, pendingWrites } of checkpointer.list({})) {
      values.push(checkpoint, metadata);
      writes.push(pendingWrites);
    }
    return { values: Buffer.from(JSON.stringify(values)), writes: Buffer.from(JSON.stringify(writes)) };
  } finally {
    checkpointer.close();
  }
}

describe("while the agent's command runs", () => {
  it("no file has a secret, databases and their logs included", async () => {
    const { files, leaks } = await leaksBelow(platform.home);
    expect(leaks).toEqual([]);
    // It looked where it had to.
    for (const file of ["data/stigmer.db", "data/stigmer.db-wal", "data/checkpoints.db", "logs/agent-runner.log"])
      expect(files).toContain(file);
    expect(await leaksBelow(join(folder, "tmp"))).toMatchObject({ leaks: [] });
  });

  it("no row of a database has a secret, of the ledger and of the checkpoints neither", async () => {
    const { files } = await leaksBelow(platform.home);
    const databases = files.filter((file) => file.endsWith(".db"));
    const found = databases.map((file) => [file, leaksInDatabase(join(platform.home, file))] as const);
    expect(found.flatMap(([, { leaks }]) => leaks)).toEqual([]);
    // What was printed is in them, masked: the search looked where it had to. `tool_calls` is the ledger.
    expect(Object.fromEntries(found.map(([file, { masked }]) => [file, masked]))).toMatchObject({
      "data/stigmer.db": expect.arrayContaining(["execution_deltas", "tool_calls"]) as string[],
    });
    const conversations = await conversationsIn(join(platform.home, "data/checkpoints.db"));
    for (const [what, bytes] of Object.entries(conversations)) {
      expect(leaksIn(`the checkpoints' ${what}`, bytes)).toEqual([]);
      expect(bytes.includes("********"), what).toBe(true);
    }
  });

  it("long results were put into files, masked", async () => {
    const { files } = await leaksBelow(join(platform.home, "data/spill"));
    expect(files).toHaveLength(2);
    for (const file of files) {
      const text = await readFile(join(platform.home, "data/spill", file), "utf8");
      expect(text.match(/\*{8}/g)?.length).toBeGreaterThanOrEqual(2_000);
      expect(leaksIn(file, Buffer.from(text))).toEqual([]);
    }
  });

  it("an MCP server has its secret in its environment, and nobody else's", async () => {
    const { pid } = JSON.parse(await readFile(join(platform.home, "run/daemon.json"), "utf8")) as { pid: number };
    const servers = (await treeOf(pid)).filter(({ command }) => command.endsWith("teller.cjs"));
    const environments = await Promise.all(servers.map((each) => readFile(`/proc/${each.pid}/environ`, "utf8")));
    const tokens = ["what fills an MCP server's placeholder", "a shared MCP server's own secret"] as const;
    for (const token of tokens) expect(environments.filter((text) => text.includes(secrets[token]))).toHaveLength(1);
    expect(environments.flatMap((text) => leaksIn("", Buffer.from(text)))).toHaveLength(tokens.length);
    expect(servers.flatMap(({ command }) => leaksIn("its command line", Buffer.from(command)))).toEqual([]);
  });

  it("no process of the daemon shows one in its environment or its command line", async () => {
    const { pid } = JSON.parse(await readFile(join(platform.home, "run/daemon.json"), "utf8")) as { pid: number };
    const daemon = [pid, ...(await platform.processes()).map((process) => process.pid)];
    expect(daemon).toHaveLength(3);
    const leaks: string[] = [];
    for (const each of daemon) {
      for (const file of ["environ", "cmdline"] as const)
        leaks.push(...leaksIn(`/proc/${each}/${file}`, await readFile(`/proc/${each}/${file}`)));
    }
    expect(leaks).toEqual([]);
  });

  it("the agent's command has its secrets in its environment alone, and no key of the platform's", async () => {
    const { pid } = JSON.parse(await readFile(join(platform.home, "run/daemon.json"), "utf8")) as { pid: number };
    const commands = (await treeOf(pid)).filter(({ command }) => command.includes("while [ ! -e go ]"));
    expect(commands.length).toBeGreaterThan(0);
    for (const { pid, command } of commands) {
      expect(leaksIn("its command line", Buffer.from(command))).toEqual([]);
      const environment = await readFile(`/proc/${pid}/environ`, "utf8");
      expect(environment).not.toContain(secrets["the model's key"]);
      expect(environment).not.toMatch(/(^|\0)(ANTHROPIC|OPENAI)_API_KEY=|STIGMER_\w*KEY=/);
    }
    const cli = await readFile(`/proc/${run.process.pid}/cmdline`);
    expect(leaksIn("the command line of stigmer run", cli)).toEqual([]);
  });
});

describe("after the run", () => {
  let executionId: string;
  beforeAll(async () => {
    await writeFile(join(workspace, "go"), "");
    printed.push(["run", await run.result]);
    const { stdout } = await stigmer(["execution", "list", "-o", "json"]);
    executionId = (JSON.parse(stdout) as { metadata: { id: string } }[])[0]?.metadata.id ?? "";
  }, 40_000);

  it("the secrets arrived, whole", async () => {
    expect(run.process.exitCode, run.output()).toBe(0);
    expect((await readFile(join(workspace, "tokens.txt"), "utf8")).trim().split("\n")).toEqual(declared);
    // The search finds what is there.
    expect((await leaksBelow(workspace)).leaks).toHaveLength(declared.length);
    const { stdout } = await stigmer(["execution", "get", executionId, "-o", "json"]);
    const { status } = JSON.parse(stdout) as {
      status: { phase: string; toolCalls: { name: string; result: string; error?: string }[] };
    };
    expect(status.phase).toBe("EXECUTION_COMPLETED");
    const [lengths, together, pieces] = status.toolCalls.filter(({ name }) => name === "execute");
    expect(lengths?.result.match(/\d+/g)?.slice(0, 4).map(Number)).toEqual(
      [...declared, "plain-and-open"].map((value) => value.length + 1),
    );
    expect(together?.result).toContain("******** ******** ******** plain-and-open");
    expect(pieces?.result).toContain("********");
    const told = status.toolCalls.filter(({ name }) => name.endsWith("__tell"));
    expect(told).toHaveLength(5);
    for (const { name, result = "", error = "" } of told) expect(`${name}: ${result}${error}`).toContain("********");
    const task = status.toolCalls.find(({ name }) => name === "task");
    expect(task?.result).toContain("It is helped ******** ******** ********, told: Bearer ********");
    expect(leaksIn("the status", Buffer.from(stdout))).toEqual([]);
  });

  it("nothing that any command shows has a secret", { timeout: 60_000 }, async () => {
    const shown = ["agents", "instances", "sessions", "executions", "environments"];
    await Promise.all([
      ...shown.map((kind) => stigmer(["get", kind, "-o", "yaml"])),
      stigmer(["get", "environment", "vault", "-o", "json"]),
      stigmer(["execution", "watch", executionId, "--json"]),
      stigmer(["local", "logs"]),
      stigmer(["local", "status", "--json"]),
    ]);
    for (const [command, result] of printed)
      expect(result, `${command}: ${result.stderr}`).toMatchObject({ exitCode: 0 });
    const leaks = printed.flatMap(([command, { stdout, stderr }]) => [
      ...leaksIn(`stdout of ${command}`, Buffer.from(stdout)),
      ...leaksIn(`stderr of ${command}`, Buffer.from(stderr)),
    ]);
    expect(leaks).toEqual([]);
    expect(printed.find(([command]) => command.startsWith("get environment vault"))?.[1].stdout).toContain(
      "FROM_ENVIRONMENT",
    );
  });

  it("the model was told none", () => {
    expect(platform.model.requests).toHaveLength(12);
    const bodies = platform.model.requests.map(({ body }) => JSON.stringify(body));
    expect(bodies.flatMap((body, turn) => leaksIn(`request ${turn}`, Buffer.from(body)))).toEqual([]);
  });

  it("no file has a secret, nor after everything has stopped", { timeout: 60_000 }, async () => {
    expect((await leaksBelow(platform.home)).leaks).toEqual([]);
    const { values, writes } = await conversationsIn(join(platform.home, "data/checkpoints.db"));
    expect(leaksIn("the checkpoints", Buffer.concat([values, writes]))).toEqual([]);
    expect(await stigmer(["local", "stop"])).toMatchObject({ exitCode: 0 });
    // The daemon says that all has stopped, and ends; on a busy machine the system tells of it a moment longer.
    await until(async () => (await processesOf(platform.home)).length === 0);
    for (const root of [platform.home, join(folder, "tmp"), join(workspace, ".stigmer")])
      expect((await leaksBelow(root).catch(() => ({ leaks: [] }))).leaks).toEqual([]);
  });
});
