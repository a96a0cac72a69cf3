import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, it } from "vitest";
import { makeHome, startLocal, until, type Home, type Result, type Started } from "./stigmer.ts";

// What a server keeps can be taken out of it while it works, and put into another one.

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-durability-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Server extends AsyncDisposable {
  readonly process: Started;
  /** Calls a method as any HTTP client would: `agent/AgentCommandController/apply`. */
  call(method: string, body: object): Promise<Record<string, unknown>>;
}

async function serve({ home, start }: Home): Promise<Server> {
  const process = start(["server", "run", "--port", "0"], { env: { LOG_LEVEL: "ERROR" } });
  await process.printed(/ready on \S+\n/);
  const endpoint = /ready on (\S+)\n/.exec(process.output())?.[1] ?? "";
  const key = (await readFile(join(home, "local.key"), "utf8")).trim();
  return {
    process,
    call: async (method, body) => {
      const [area = "", service = "", name = ""] = method.split("/");
      const answer = await fetch(`http://${endpoint}/ai.stigmer.agentic.${area}.v1.${service}/${name}`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
        body: JSON.stringify(body),
      });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${method}: ${text}`);
      return JSON.parse(text) as Record<string, unknown>;
    },
    async [Symbol.asyncDispose]() {
      process.process.kill("SIGTERM");
      await process.result;
    },
  };
}

const idOf = (resource: Record<string, unknown>): string => (resource["metadata"] as { id: string }).id;

const environment = (name: string, text: string): object => ({
  apiVersion: "agentic.stigmer.ai/v1",
  kind: "Environment",
  metadata: { name },
  spec: { data: { TEXT: { value: text }, TOKEN: { value: "hush-hush", isSecret: true } } },
});

const execution = (agentId: string): object => ({
  apiVersion: "agentic.stigmer.ai/v1",
  kind: "AgentExecution",
  metadata: { name: "run", tags: ["load"] },
  spec: { agentId, message: "Work." },
});

/** Creates resources and runs without a pause. */
function writeTo({ call }: Server, name: string): { acknowledged: string[]; stop(): Promise<void> } {
  const acknowledged: string[] = [];
  let stopped = false;
  const lane = async (number: number): Promise<void> => {
    const agent = await call("agent/AgentCommandController/apply", {
      apiVersion: "agentic.stigmer.ai/v1",
      kind: "Agent",
      metadata: { name: `worker-${number}` },
      spec: { instructions: "Do the work in three steps." },
    });
    for (let count = 0; !stopped; count++) {
      const made = await call(
        "environment/EnvironmentCommandController/create",
        environment(`${name}-${number}-${count}`, "x"),
      );
      acknowledged.push(idOf(made));
      acknowledged.push(
        idOf(await call("agentexecution/AgentExecutionCommandController/create", execution(idOf(agent)))),
      );
    }
  };
  const lanes = Promise.all([0, 1, 2].map(lane));
  // Who stops it is told.
  lanes.catch(() => {});
  return {
    acknowledged,
    stop: async () => {
      stopped = true;
      await lanes;
    },
  };
}

/** Ids of everything that the lists show, page by page. */
async function listAll({ call }: Server): Promise<string[]> {
  const ids: string[] = [];
  for (const method of [
    "environment/EnvironmentQueryController/list",
    "agentexecution/AgentExecutionQueryController/list",
  ]) {
    let pageToken = "";
    do {
      const page = await call(method, { pageSize: 500, pageToken });
      const { entries = [], items = [] } = page as Record<string, Record<string, unknown>[]>;
      ids.push(...[...entries, ...items].map(idOf));
      pageToken = String(page["nextPageToken"] ?? "");
    } while (pageToken !== "");
  }
  return ids;
}

it("backs up a server under load, and another one goes on from there", { timeout: 180_000 }, async () => {
  await using first = await makeHome();
  await using second = await makeHome();
  const file = join(folder, "state.backup");
  let before: string[];
  {
    await using server = await serve(first);
    const load = writeTo(server, "first");
    await until(async () => load.acknowledged.length >= 60, 60);
    before = [...load.acknowledged];
    const made = await first.stigmer(["server", "backup", "state.backup"], { cwd: folder });
    expect(made, made.stderr).toMatchObject({ exitCode: 0 });
    expect(made.stdout).toMatch(
      new RegExp(
        `^Backed up ${first.home}/data to ${file}: [\\d.]+ [kM]B, 0 skill archives, no conversations yet\\.\n$`,
      ),
    );
    expect(made.stderr).toBe(
      `The key is not in it: secrets in it can only be read with ${first.home}/data/encryption.key, keep that apart.\n`,
    );
    expect(load.acknowledged.length).toBeGreaterThan(before.length);
    await load.stop();
  }
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readdir(folder)).toEqual(["state.backup"]);
  expect((await readFile(file)).includes("hush-hush")).toBe(false);

  const restored = await second.stigmer(["server", "restore", file]);
  expect(restored, restored.stderr).toMatchObject({ exitCode: 0 });
  expect(restored.stdout).toMatch(
    new RegExp(`^Restored ${second.home}/data as it was at \\S+Z, written by stigmer \\S+\\.\n$`),
  );
  expect(restored.stderr).toBe(
    `Secrets can't be read without their key: put it in ${second.home}/data/encryption.key before the server starts, which makes a new one otherwise.\n`,
  );
  {
    using database = new DatabaseSync(join(second.home, "data/stigmer.db"), { readOnly: true });
    expect(database.prepare("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
  }
  await writeFile(join(second.home, "data/encryption.key"), await readFile(join(first.home, "data/encryption.key")), {
    mode: 0o600,
  });
  await using server = await serve(second);
  const ids = await listAll(server);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).toEqual(expect.arrayContaining(before));
  const { acknowledged, stop } = writeTo(server, "second");
  await until(async () => acknowledged.length > 6);
  await stop();
});

const SCENARIO = `name: greetings
scenarios:
  - name: a second turn, which knows of the first
    match: { firstHuman: My name is Ada, human: What is my name }
    turns:
      - text: You are Ada.
  - name: a first turn
    match: { human: My name is Ada }
    turns:
      - text: Hello Ada.
`;

const AGENT = `apiVersion: agentic.stigmer.ai/v1
kind: Agent
metadata: { name: greeter }
spec: { instructions: Greet whoever writes to you. }
`;

it("brings conversations back: a session goes on in another home", { timeout: 240_000 }, async () => {
  const scenario = join(folder, "scenario.yaml");
  await writeFile(scenario, SCENARIO);
  await mkdir(join(folder, "workspace"));
  const file = join(folder, "state.backup");
  const lastOf = ({ stdout }: Result): Record<string, string> =>
    JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}") as Record<string, string>;
  let sessionId: string;
  {
    await using platform = await startLocal(scenario);
    expect(await platform.stigmer(["apply", "-f", "-"], { stdin: AGENT })).toMatchObject({ exitCode: 0 });
    const run = ["run", "greeter", "My name is Ada.", "--workspace", join(folder, "workspace"), "--json"];
    const turn = await platform.stigmer(run);
    expect(lastOf(turn), turn.stderr).toMatchObject({ output: "Hello Ada." });
    sessionId = (JSON.parse(turn.stdout.split("\n")[0] ?? "{}") as { sessionId: string }).sessionId;
    const made = await platform.stigmer(["server", "backup", file]);
    expect(made, made.stderr).toMatchObject({ exitCode: 0 });
    expect(made.stdout).toContain("conversations included");
    const refused = await platform.stigmer(["server", "restore", file, "--force"]);
    expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
    expect(refused.stderr).toMatch(/^Stigmer runs in \S+ \(PID \d+\): stop it with `stigmer local stop` first\.\n$/);
  }
  const other = join(folder, "home");
  const env = { STIGMER_HOME: other };
  await using platform = await startLocal(scenario, { env });
  expect(await platform.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0 });
  const restored = await platform.stigmer(["server", "restore", file, "--force"]);
  expect(restored, restored.stderr).toMatchObject({ exitCode: 0 });
  expect(restored.stdout).toMatch(/\nWhat it held before is in \S+\/home\/data\/before-restore-\w+\.\n$/);
  expect(restored.stderr).toContain("is another key than the one that they were sealed with");
  expect(await platform.stigmer(["local", "start", "--port", "0"], { env: platform.modelEnv })).toMatchObject({
    exitCode: 0,
  });
  const turn = await platform.stigmer(["run", "greeter", "What is my name?", "--session", sessionId, "--json"]);
  expect(lastOf(turn), turn.stderr).toMatchObject({ phase: "EXECUTION_COMPLETED", output: "You are Ada." });
  await platform.stigmer(["local", "stop"]);
});

it("refuses what would harm, in one line and from outside", { timeout: 240_000 }, async () => {
  await using home = await makeHome();
  const file = join(folder, "state.backup");
  const data = join(home.home, "data");
  const expectRefused = async (args: string[], ...says: string[]): Promise<void> => {
    const { exitCode, stdout, stderr } = await home.stigmer(["server", ...args]);
    expect([exitCode, stdout, stderr.split("\n").length], stderr).toEqual([1, "", 2]);
    for (const part of says) expect(stderr).toContain(part);
  };
  {
    await using server = await serve(home);
    await server.call("environment/EnvironmentCommandController/create", environment("one", "x"));
    expect(await home.stigmer(["server", "backup", file])).toMatchObject({ exitCode: 0 });
    await expectRefused(["restore", file, "--force"], `Another Stigmer server uses ${data}`, "stigmer local stop");
    expect(await server.call("environment/EnvironmentQueryController/list", {})).toMatchObject({});
  }
  {
    using database = new DatabaseSync(join(data, "stigmer.db"));
    database.exec("INSERT INTO migrations VALUES (999, 'then')");
  }
  // The server of a database that a newer one wrote does not start, and leaves it alone.
  await expectRefused(["run", "--port", "0"], "schema version 999, this program knows up to", "use the newer stigmer");
  {
    using database = new DatabaseSync(join(data, "stigmer.db"), { readOnly: true });
    expect(database.prepare("SELECT max(version) AS version FROM migrations").get()).toEqual({ version: 999 });
  }
  const half = join(folder, "half");
  await writeFile(half, await readFile(file));
  await truncate(half, (await stat(file)).size / 2);
  await expectRefused(["restore", half, "--force"], `${half} is damaged`);
  expect(await home.stigmer(["server", "restore", file, "--force"])).toMatchObject({ exitCode: 0 });
  await using server = await serve(home);
  expect(await listAll(server)).toHaveLength(1);
});
