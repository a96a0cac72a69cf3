import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { statusSchema } from "../../../scripts/status-schema.ts";
import { renderStatusSchema, statusSchemaFile } from "../../../scripts/write-schemas.ts";
import { startCli, type CliRun } from "../../__fixtures__/local-server.ts";
import { fakeDaemon, restarts } from "../../daemon/__fixtures__/fake-daemon.ts";
import { daemonFiles } from "../../daemon/find-daemon.ts";
import { limitLogs } from "../../daemon/log-file.ts";
import { startSupervisor } from "../../daemon/supervisor.ts";
import { findModelKey } from "./model-key.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-local-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const cli = (args: readonly string[], env: Record<string, string> = {}): CliRun =>
  startCli(args, { env: { STIGMER_HOME: home, OLLAMA_BASE_URL: "http://127.0.0.1:9", ...env } });

describe("without a daemon", () => {
  test.each(["local", "server"])("%s status says so, and a stop is no failure", async (group) => {
    expect(await cli([group, "status"]).done).toEqual({
      code: 1,
      out: `Nothing runs in ${home}. Start it with \`stigmer local start\`.\n`,
      err: "",
    });
    const { code, out } = await cli([group, "status", "--json"]).done;
    expect([code, JSON.parse(out)]).toEqual([
      1,
      { running: false, dataDir: join(home, "data"), endpoint: "", engine: "embedded", processes: [] },
    ]);
    expect(statusSchema.safeParse(JSON.parse(out)).error).toBeUndefined();
    expect(await cli([group, "stop"]).done).toEqual({ code: 0, out: `Nothing runs in ${home}.\n`, err: "" });
  });

  test.each([
    [{ STIGMER_PORT: "http" }, /^Failed to load configuration: STIGMER_PORT is "http": expected .*\n$/],
    [{ STIGMER_LLM_PROVIDER: "bedrock" }, /^Failed to load configuration: STIGMER_LLM_PROVIDER .*\n$/],
  ])("nothing is started with %j", async (env, message) => {
    expect(await cli(["local", "start"], env).done).toEqual({ code: 1, out: "", err: expect.stringMatching(message) });
  });
});

test("a daemon that runs is shown, found by a start, and why a process ended is said", async () => {
  await using fake = await fakeDaemon();
  const { homes, children } = fake;
  const supervisor = await startSupervisor({
    homes,
    env: {
      OLLAMA_BASE_URL: "http://me:hush@127.0.0.1:9",
      STIGMER_LLM_MODEL: "ollama:house",
      ANTHROPIC_API_KEY: "hush",
    },
    port: 0,
    children,
    restarts: { ...restarts, maxCrashes: 1 },
  });
  try {
    const env = { STIGMER_HOME: homes.home };
    const pids = supervisor.state().processes.map(({ pid }) => pid);
    const child = { state: "running", restarts: 0, startedAt: expect.any(String), uptimeSeconds: expect.any(Number) };
    const shape = {
      running: true,
      pid: process.pid,
      version: "0.0.0",
      startedAt: expect.any(String),
      logsDir: homes.logsDir,
      port: 4711,
      dataDir: homes.dataDir,
      endpoint: "127.0.0.1:4711",
      engine: "embedded",
      processes: [
        { name: "stigmer-server", pid: pids[0], ...child },
        { name: "agent-runner", pid: pids[1], ...child },
      ],
    };
    const json = await cli(["local", "status", "--json"], env).done;
    const memoryBytes = expect.toSatisfy((bytes: number) => bytes > 10_000_000);
    expect([json.code, JSON.parse(json.out)]).toEqual([
      0,
      {
        ...shape,
        processes: shape.processes.map((each) => ({ ...each, memoryBytes })),
        model: "ollama:house",
        modelError: expect.stringMatching(/^Ollama does not answer at http:\/\/127\.0\.0\.1:9: /),
        queue: null,
      },
    ]);
    expect(readFileSync(statusSchemaFile, "utf8"), "run `pnpm --filter @stigmer/cli generate`").toBe(
      renderStatusSchema(),
    );
    expect(statusSchema.safeParse(JSON.parse(json.out)).error).toBeUndefined();
    const started = await cli(["local", "start", "--json"], env).done;
    expect([started.code, started.err, JSON.parse(started.out)]).toEqual([0, "", shape]);
    const other = await cli(["local", "start", "--port", "7"], env).done;
    expect(other.out).toMatch(
      new RegExp(`^A daemon runs already\\.\nPID: +${process.pid}\nEndpoint: +127.0.0.1:4711\n`),
    );
    expect(other.err).toBe("It does not listen on port 7: for that, `stigmer local restart --port 7`.\n");

    const { stateFile } = daemonFiles(homes);
    const state = readFileSync(stateFile, "utf8");
    expect(state).not.toContain("hush");
    const told = await cli(["local", "status"], env).done;
    expect(told.out).toMatch(/^Queue: +unknown: the server does not answer$/m);
    expect(told.out).toMatch(/^stigmer-server +\d+ +running +\d+\.\d s +0 +\d+\.\d MB$/m);
    expect(told.out).not.toContain("version");
    writeFileSync(stateFile, state.replace('"version": "0.0.0"', '"version": "0.0.0-older"'));
    for (const command of ["status", "start"]) {
      const { out, err } = await cli(["local", command], env).done;
      expect(out + err).toMatch(/^The daemon is of version 0\.0\.0-older, [^\n]*`stigmer local restart`\.$/m);
    }

    fake.behave("runner", { crash: { when: "before", stderr: "Error: no such thing" } });
    process.kill(pids[1] ?? Number.NaN, "SIGKILL");
    await expect
      .poll(() => cli(["local", "status"], env).done.then(({ out }) => out), { timeout: 15_000 })
      .toMatch(
        /agent-runner is left alone after too many crashes: .*SIGKILL\nStart it with `stigmer local restart`\.\n$/,
      );
  } finally {
    await supervisor.kill();
  }
});

describe("the model's key", () => {
  const io = (env: Record<string, string>): Parameters<typeof findModelKey>[0] => ({
    stdin: Readable.from([]),
    stdout: process.stdout,
    stderr: process.stderr,
    env: { STIGMER_HOME: home, OLLAMA_BASE_URL: "http://127.0.0.1:9", ...env },
    cwd: home,
    onSignal: () => () => {},
  });

  test("of the environment is enough, and is not repeated", async () => {
    const found = await findModelKey(io({ ANTHROPIC_API_KEY: "hush" }));
    expect(found).toEqual({ secrets: {}, note: expect.stringMatching(/^Model: anthropic:claude/) });
  });

  test("that is missing is nothing to wait for without a terminal", async () => {
    const { secrets, note } = await findModelKey(io({}));
    expect(secrets).toEqual({});
    expect(note).toMatch(
      /^Runs will fail until there is a model\. .*set ANTHROPIC_API_KEY.* `stigmer local restart`\.$/,
    );
  });

  test("in a config.yaml that can't be read is an error with its place", async () => {
    writeFileSync(join(home, "config.yaml"), "llm:\n  modle: x\n");
    await expect(findModelKey(io({}))).rejects.toThrow(/config\.yaml:2:3: .*modle/);
  });
});

describe("logs", () => {
  const log = (name: string): string => join(home, "logs", `${name}.log`);
  beforeEach(() => mkdirSync(join(home, "logs")));

  test("of nothing are an error, of an unknown component wrong usage", async () => {
    expect(await cli(["local", "logs"]).done).toMatchObject({
      code: 1,
      err: expect.stringMatching(/no logs .* start` *\./),
    });
    expect(await cli(["local", "logs", "proxy"]).done).toMatchObject({
      code: 2,
      err: 'There is no component "proxy". Known: daemon, stigmer-server, agent-runner, temporal.\n',
    });
  });

  test("name their process when they are of several", async () => {
    writeFileSync(log("stigmer-server"), "one\ntwo\n");
    writeFileSync(log("agent-runner"), "three\n");
    const all = "stigmer-server | one\nstigmer-server | two\nagent-runner | three\n";
    expect(await cli(["local", "logs"]).done).toEqual({ code: 0, out: all, err: "" });
    expect(await cli(["local", "logs", "stigmer-server"]).done).toMatchObject({ code: 0, out: "one\ntwo\n" });
  });

  test("are in the order of time, the older pieces first, and coloured by component", async () => {
    const at = (second: number): string => `{"level":"info","time":"2026-11-22T00:00:0${second}.000Z"`;
    writeFileSync(`${log("stigmer-server")}.2`, `${at(0)},"msg":"a"}\n`);
    writeFileSync(`${log("stigmer-server")}.1`, `${at(1)},"msg":"b"}\n  its stack\n`);
    writeFileSync(log("stigmer-server"), `${at(4)},"msg":"e"}\n`);
    writeFileSync(log("agent-runner"), `${at(2)},"msg":"c"}\n${at(5)},"msg":"f"}\n`);
    writeFileSync(log("daemon"), `${at(3)},"msg":"d"}\n`);
    const { out } = await cli(["local", "logs"]).done;
    expect(out.match(/"msg":"."|its stack/g)?.join()).toBe(
      '"msg":"a","msg":"b",its stack,"msg":"c","msg":"d","msg":"e","msg":"f"',
    );
    expect((await cli(["local", "logs", "--tail", "2"]).done).out.match(/"msg":"."/g)).toEqual([
      '"msg":"e"',
      '"msg":"f"',
    ]);
    const { out: coloured } = await cli(["local", "logs"], { FORCE_COLOR: "1" }).done;
    expect(coloured).toContain("\u001B[36mstigmer-server |\u001B[39m {");
    expect(coloured).toContain("\u001B[35magent-runner |\u001B[39m {");
    expect(await cli(["local", "logs", "--tail", "-1"]).done).toMatchObject({ code: 2 });
  });

  test("are followed line by line, over rotation, until Ctrl-C", async () => {
    writeFileSync(log("agent-runner"), "one\n");
    const run = cli(["local", "logs", "-f"]);
    await run.printed("agent-runner | one\n");
    // The second half of a character and of its line come later.
    const line = Buffer.from("zwei ü\n");
    appendFileSync(log("agent-runner"), line.subarray(0, 6));
    writeFileSync(log("daemon"), "three\n");
    await run.printed("daemon | three\n");
    expect(run.out()).not.toContain("zwei");
    appendFileSync(log("agent-runner"), line.subarray(6));
    await run.printed("agent-runner | zwei ü\n");
    // Put aside as the daemon does it, with a line that came in the moment before.
    appendFileSync(log("agent-runner"), "the last of this piece\n");
    limitLogs(join(home, "logs"), 1);
    await run.printed("agent-runner | the last of this piece\n");
    renameSync(log("agent-runner"), `${log("agent-runner")}.old`);
    writeFileSync(log("agent-runner"), "four\n");
    await run.printed("agent-runner | four\n");
    run.signal("SIGINT");
    expect(await run.done).toMatchObject({ code: 0, err: "" });
  });
});
