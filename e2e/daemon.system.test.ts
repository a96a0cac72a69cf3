import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHome, processesOf, startLocal, until, type Home } from "./stigmer.ts";

// The daemon as people and scripts treat it: started twice, stopped twice, stopped at the wrong moment, killed.

const AGENT = `apiVersion: agentic.stigmer.ai/v1
kind: Agent
metadata: { name: worker }
spec: { instructions: Do the work in steps. }
`;

const START = ["local", "start", "--port", "0"];

describe("one home", () => {
  let home: Home;
  beforeAll(async () => {
    home = await makeHome();
  });
  afterAll(() => home[Symbol.asyncDispose]());

  it("gets one daemon from eight starts at once", { timeout: 90_000 }, async () => {
    const results = await Promise.all(Array.from({ length: 8 }, () => home.stigmer([...START, "--json"])));
    for (const result of results) expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    const states = results.map(({ stdout }) => JSON.parse(stdout) as { endpoint: string });
    expect(new Set(states.map(({ endpoint }) => endpoint)).size).toBe(1);
    expect((await processesOf(home.home)).map((line) => /supervise|server run|agent-runner/.exec(line)?.[0])).toEqual(
      expect.toSatisfy((kinds: string[]) => kinds.toSorted().join() === "agent-runner,server run,supervise"),
    );
  });

  it("tells its state in the shape that scripts rely on", async () => {
    const { exitCode, stdout, stderr } = await home.stigmer(["local", "status", "--json"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const process = { pid: expect.any(Number), state: "running", restarts: 0, memoryBytes: expect.any(Number) };
    expect(JSON.parse(stdout)).toMatchObject({
      running: true,
      model: null,
      modelError: expect.stringMatching(/ANTHROPIC_API_KEY/),
      queue: { waiting: 0, running: 0, waitingForApproval: 0 },
      dataDir: join(home.home, "data"),
      endpoint: expect.stringMatching(/^127\.0\.0\.1:[1-9]\d+$/),
      engine: "embedded",
      processes: [
        { name: "stigmer-server", ...process },
        { name: "agent-runner", ...process },
      ],
    });
    const { endpoint } = JSON.parse((await home.stigmer(["server", "status", "--json"])).stdout) as {
      endpoint: string;
    };
    expect(stdout).toContain(`"${endpoint}"`);
  });

  it("shows what its processes logged, and follows on", { timeout: 30_000 }, async () => {
    const all = await home.stigmer(["local", "logs"]);
    expect(all, all.stderr).toMatchObject({ exitCode: 0, stderr: "" });
    expect(all.stdout).toMatch(/^stigmer-server \| .+/m);
    expect(all.stdout).toMatch(/^agent-runner \| .+/m);
    const one = await home.stigmer(["local", "logs", "agent-runner"]);
    expect(one.stdout).toMatch(/^Worker ready, polling for tasks\.\.\.$/m);
    expect(one.stdout).not.toContain("stigmer-server |");

    const follow = home.start(["local", "logs", "stigmer-server", "--follow"]);
    await follow.printed("A runner attached");
    const before = follow.output();
    const runner = (await home.processes()).find(({ name }) => name === "agent-runner");
    process.kill(runner?.pid ?? Number.NaN, "SIGKILL");
    await until(async () => /A runner attached/.test(follow.output().slice(before.length)));
    process.kill(follow.process.pid ?? Number.NaN, "SIGINT");
    expect(await follow.result).toMatchObject({ exitCode: 0, stderr: "" });
  });

  it("is brought up to date by a restart, which keeps its port", { timeout: 120_000 }, async () => {
    const stateFile = join(home.home, "run/daemon.json");
    const older =
      /The daemon is of version 0\.0\.0-old, this stigmer of .*: bring it up to date with `stigmer local restart`\./;
    // As one that an older stigmer had started. The daemon may write down a change of its own over that.
    await until(async () => {
      const state = await readFile(stateFile, "utf8");
      await writeFile(stateFile, state.replace(/"version": "[^"]+"/, '"version": "0.0.0-old"'));
      return older.test((await home.stigmer(["local", "status"])).stdout);
    });
    const before = await home.status();
    const restarted = await home.stigmer(["local", "restart"]);
    expect(restarted, restarted.stderr).toMatchObject({ exitCode: 0 });
    expect((await home.stigmer(["local", "status"])).stdout).not.toMatch(older);
    const after = await home.status();
    expect(after.endpoint).toBe(before.endpoint);
    for (const { pid } of after.processes) expect(before.processes.map((process) => process.pid)).not.toContain(pid);
  });

  it("is left with nothing by a stop, and a second stop is no failure", { timeout: 60_000 }, async () => {
    expect(await home.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await processesOf(home.home)).toEqual([]);
    expect(await home.stigmer(["local", "stop"])).toMatchObject({
      exitCode: 0,
      stdout: `Nothing runs in ${home.home}.\n`,
    });
    expect(await home.stigmer(["local", "status"])).toMatchObject({ exitCode: 1 });
    const nothing = { running: false, dataDir: join(home.home, "data"), endpoint: "", engine: "embedded" };
    expect(await home.status()).toEqual({ ...nothing, processes: [] });
  });

  it("is not fooled by what a killed daemon left behind", { timeout: 60_000 }, async () => {
    expect(await home.stigmer(START)).toMatchObject({ exitCode: 0 });
    const stateFile = join(home.home, "run/daemon.json");
    const state = JSON.parse(await readFile(stateFile, "utf8")) as { pid: number; processes: { pid: number }[] };
    for (const { pid } of [state, ...state.processes]) process.kill(pid, "SIGKILL");
    await until(async () => (await processesOf(home.home)).length === 0);

    // Process ids come around again: this one is a stranger's now.
    const stranger = spawn("sleep", ["600"], { stdio: "ignore" });
    try {
      await writeFile(stateFile, JSON.stringify({ ...state, pid: stranger.pid }));
      expect(await home.stigmer(["local", "status"])).toMatchObject({ exitCode: 1 });
      expect(await home.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0 });
      const again = await home.stigmer(START);
      expect(again, again.stderr).toMatchObject({ exitCode: 0 });
      expect(await home.stigmer(["get", "agents", "-o", "json"])).toMatchObject({ exitCode: 0, stdout: "[]\n" });
      expect(await home.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0 });
      expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
    } finally {
      stranger.kill("SIGKILL");
    }
    expect(await processesOf(home.home)).toEqual([]);
  });
});

it.concurrent("two homes don't know of each other", { timeout: 90_000 }, async () => {
  await using one = await makeHome();
  await using other = await makeHome();
  const started = await Promise.all([one.stigmer(START), other.stigmer(START)]);
  for (const result of started) expect(result, result.stderr).toMatchObject({ exitCode: 0 });
  expect((await one.status()).endpoint).not.toBe((await other.status()).endpoint);

  const applied = await one.stigmer(["apply", "-f", "-"], { stdin: AGENT });
  expect(applied, applied.stderr).toMatchObject({ exitCode: 0 });
  expect(await other.stigmer(["get", "agents", "-o", "json"])).toMatchObject({ exitCode: 0, stdout: "[]\n" });
  const key = await readFile(join(one.home, "local.key"), "utf8");
  expect(await other.stigmer(["get", "agents"], { env: { STIGMER_API_KEY: key.trim() } })).toMatchObject({
    exitCode: 1,
  });

  expect(await other.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0 });
  expect(await processesOf(other.home)).toEqual([]);
  const { stdout } = await one.stigmer(["get", "agents", "-o", "json"]);
  expect(JSON.parse(stdout)).toMatchObject([{ metadata: { name: "worker" } }]);
});

it.concurrent(
  "a stop in the middle of a run hands it back, and the next start completes it",
  { timeout: 90_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "stigmer-stop-"));
    try {
      const scenario = join(folder, "scenario.yaml");
      await writeFile(
        scenario,
        `name: stop
scenarios:
  - name: two steps
    turns:
      - toolCalls: [{ name: execute, args: { command: "echo one >> effects" } }]
      - toolCalls: [{ name: execute, args: { command: "echo two >> effects; while [ ! -e go ]; do sleep 0.05; done" } }]
      - text: Both steps are done.
`,
      );
      await using platform = await startLocal(scenario);
      const effects = async (): Promise<string[]> =>
        (await readFile(join(folder, "effects"), "utf8").catch(() => "")).split("\n").slice(0, -1);
      const applied = await platform.stigmer(["apply", "-f", "-"], { stdin: AGENT });
      expect(applied, applied.stderr).toMatchObject({ exitCode: 0 });
      const run = await platform.stigmer(["run", "worker", "Go.", "--workspace", folder, "--detach"]);
      const executionId = run.stdout.trim();
      await until(async () => (await effects()).includes("two"), 60);

      expect(await platform.stigmer(["local", "stop"])).toMatchObject({ exitCode: 0 });
      expect(await processesOf(platform.home)).toEqual([]);
      expect(await processesOf(folder)).toEqual([]);

      const again = await platform.stigmer(START, { env: platform.modelEnv });
      expect(again, again.stderr).toMatchObject({ exitCode: 0 });
      await writeFile(join(folder, "go"), "");
      const watched = await platform.stigmer(["execution", "watch", executionId, "--json"]);
      expect(watched, watched.stderr).toMatchObject({ exitCode: 0 });
      expect(JSON.parse(watched.stdout.trim().split("\n").at(-1) ?? "")).toEqual({
        type: "result",
        executionId,
        phase: "EXECUTION_COMPLETED",
        output: "Both steps are done.",
        error: "",
      });
      // What was finished before is not done again.
      expect((await effects()).filter((line) => line === "one")).toEqual(["one"]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);
