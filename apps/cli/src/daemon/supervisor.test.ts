import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CliError } from "../errors.ts";
import type { JsonLogger } from "@stigmer/telemetry";
import { type FakeDaemon, fakeDaemon, restarts } from "./__fixtures__/fake-daemon.ts";
import type { ProcessState } from "./daemon-state.ts";
import { daemonFiles, findDaemon } from "./find-daemon.ts";
import { isLocked } from "./lock.ts";
import { AlreadyRunningError, startSupervisor, type Supervisor, type SupervisorOptions } from "./supervisor.ts";

let daemon: FakeDaemon;
let logged: { level: string; message: string; fields: Record<string, unknown> }[];
let supervisors: Supervisor[];
beforeEach(async () => {
  daemon = await fakeDaemon();
  logged = [];
  supervisors = [];
});
afterEach(async () => {
  for (const supervisor of supervisors) await supervisor.kill();
  await daemon[Symbol.asyncDispose]();
});

const log =
  (level: string): JsonLogger["info"] =>
  (fields, message) =>
    void logged.push({ level, message, fields: fields as Record<string, unknown> });
const logger: JsonLogger = { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };

async function start(options: Partial<SupervisorOptions> = {}): Promise<Supervisor> {
  const { homes, children } = daemon;
  const supervisor = await startSupervisor({ homes, env: {}, port: 0, children, restarts, logger, ...options });
  supervisors.push(supervisor);
  return supervisor;
}

const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 15_000, interval: 10 });

function childOf(supervisor: Supervisor, name: ProcessState["name"]): ProcessState {
  const found = supervisor.state().processes.find((process) => process.name === name);
  if (!found) throw new Error(`no ${name}`);
  return found;
}

function expectNothingLeft(): void {
  const { lockFile, stateFile } = daemonFiles(daemon.homes);
  expect(daemon.alive()).toEqual([]);
  expect([isLocked(lockFile), existsSync(stateFile)]).toEqual([false, false]);
}

describe("a daemon", () => {
  test("starts the server, then the runner, and stops them the other way round", async () => {
    const supervisor = await start();
    expect(supervisor.endpoint).toBe("127.0.0.1:4711");
    expect(daemon.starts("server").map(({ port }) => port)).toEqual([0]);
    expect(daemon.starts("runner").map(({ port }) => port)).toEqual([4711]);
    expect(await findDaemon(daemon.homes)).toEqual(supervisor.state());
    expect(supervisor.state()).toMatchObject({
      pid: process.pid,
      state: "running",
      endpoint: "127.0.0.1:4711",
      dataDir: daemon.homes.dataDir,
      processes: [
        { name: "stigmer-server", state: "running", restarts: 0, lastError: "", pid: daemon.starts("server")[0]?.pid },
        { name: "agent-runner", state: "running", restarts: 0, lastError: "", pid: daemon.starts("runner")[0]?.pid },
      ],
    });
    await Promise.all([supervisor.stop(), supervisor.stop()]);
    expect(daemon.events()).toEqual(["runner stopped", "server stopped"]);
    expectNothingLeft();
    expect(await findDaemon(daemon.homes)).toBeUndefined();
  });

  test("hands secrets over by the pipe alone, and runs nothing in the caller's directory", async () => {
    const supervisor = await start();
    await supervisor.stop();
    const [runner] = daemon.starts("runner");
    expect(runner).toMatchObject({ secrets: { ANTHROPIC_API_KEY: "hush" }, cwd: "/" });
    expect(JSON.stringify([runner?.env, runner?.argv])).not.toContain("hush");
    expect(daemon.starts("server")[0]?.secrets).toEqual({});
  });

  test("is the only one of its home", async () => {
    await start();
    await expect(start()).rejects.toThrow(AlreadyRunningError);
    expect(daemon.starts("server")).toHaveLength(1);
  });
});

describe("a child that dies", () => {
  test.each(["server", "runner"] as const)("is started again: %s", async (name) => {
    const supervisor = await start();
    const full = name === "server" ? "stigmer-server" : "agent-runner";
    process.kill(childOf(supervisor, full).pid, "SIGKILL");
    await eventually(() =>
      expect(childOf(supervisor, full)).toEqual({
        name: full,
        pid: daemon.starts(name)[1]?.pid,
        startedAt: expect.any(String),
        state: "running",
        restarts: 1,
        lastError: `${full} was ended by SIGKILL`,
      }),
    );
    // The server where clients know it to be.
    expect(daemon.starts(name)[1]?.port).toBe(4711);
    expect(await findDaemon(daemon.homes)).toEqual(supervisor.state());
    await supervisor.stop();
    expectNothingLeft();
  });

  test("is left alone after too many crashes in a row, with the reason, and the daemon stays", async () => {
    const supervisor = await start();
    daemon.behave("runner", {
      crash: { when: "before", stderr: "Error: no such thing\n    at here:1\n\nNode.js v24.0.0" },
    });
    process.kill(childOf(supervisor, "agent-runner").pid, "SIGKILL");
    await eventually(() => expect(childOf(supervisor, "agent-runner").state).toBe("failed"));
    expect(childOf(supervisor, "agent-runner")).toMatchObject({
      pid: 0,
      restarts: 3,
      lastError: "agent-runner ended with exit code 1: Error: no such thing",
    });
    expect(daemon.starts("runner")).toHaveLength(restarts.maxCrashes);
    const delays = logged.filter(({ level }) => level === "warn").map(({ fields }) => fields["delayMs"]);
    expect(delays).toEqual([5, 10, 15]);
    expect(logged.at(-1)).toMatchObject({ level: "error", message: expect.stringContaining("4 crashes in a row") });
    expect(childOf(supervisor, "stigmer-server").state).toBe("running");
    await supervisor.stop();
    expectNothingLeft();
  });

  test("starts over with the first delay when it had run long enough", async () => {
    const supervisor = await start({ restarts: { ...restarts, healthyAfterMs: 0 } });
    daemon.behave("runner", { crash: { when: "after", stderr: "Error: now and then" } });
    process.kill(childOf(supervisor, "agent-runner").pid, "SIGKILL");
    await eventually(() => expect(daemon.starts("runner").length).toBeGreaterThan(restarts.maxCrashes + 1));
    daemon.behave("runner", {});
    await eventually(() => expect(childOf(supervisor, "agent-runner").state).toBe("running"));
    expect(new Set(logged.flatMap(({ fields }) => fields["delayMs"] ?? []))).toEqual(new Set([5]));
  });

  test("is killed when it does not become ready, and that counts", async () => {
    const policy = { ...restarts };
    const supervisor = await start({ restarts: policy });
    policy.readyWithinMs = 3_000;
    daemon.behave("runner", { neverReady: true, ignoreSigterm: true });
    process.kill(childOf(supervisor, "agent-runner").pid, "SIGKILL");
    await eventually(() => expect(daemon.starts("runner")).toHaveLength(2));
    policy.readyWithinMs = restarts.readyWithinMs;
    daemon.behave("runner", {});
    await eventually(() =>
      expect(childOf(supervisor, "agent-runner")).toMatchObject({
        state: "running",
        restarts: 2,
        lastError: `agent-runner was not ready within 3 s: see ${daemon.homes.logsDir}/runner.log`,
      }),
    );
  });

  test("is started again also when the state can't be written any more", async () => {
    const supervisor = await start();
    const { stateFile } = daemonFiles(daemon.homes);
    rmSync(stateFile);
    mkdirSync(stateFile);
    process.kill(childOf(supervisor, "agent-runner").pid, "SIGKILL");
    await eventually(() =>
      expect(childOf(supervisor, "agent-runner")).toMatchObject({ state: "running", restarts: 1 }),
    );
    expect(logged).toContainEqual(
      expect.objectContaining({ level: "error", message: expect.stringContaining(stateFile) }),
    );
    await supervisor.stop();
    expect(daemon.alive()).toEqual([]);
  });
});

describe("a start that fails", () => {
  test.each<["server" | "runner", Parameters<FakeDaemon["behave"]>[1], string]>([
    ["server", { failed: "Port 50051 is in use." }, "Port 50051 is in use."],
    ["runner", { failed: "Failed to load configuration: X" }, "Failed to load configuration: X"],
    [
      "server",
      { crash: { when: "before", stderr: '{"level":"error","msg":"the disk is full"}' } },
      "stigmer-server ended with exit code 1: the disk is full",
    ],
    ["runner", { crash: { when: "before", stderr: "" } }, "agent-runner ended with exit code 1"],
  ])("says why and leaves nothing: the %s with %j", async (name, behaviour, message) => {
    daemon.behave(name, behaviour);
    const error: unknown = await start().catch((error: unknown) => error);
    expect(CliError.is(error) && [error.code, error.message]).toEqual(["failed", message]);
    expect(daemon.starts(name)).toHaveLength(1);
    expectNothingLeft();
  });

  test("for want of a program", async () => {
    const { server, runner } = daemon.children;
    const children = { server: (port: number) => ({ ...server(port), command: "/nowhere/node" }), runner };
    await expect(start({ children })).rejects.toThrow(
      /^stigmer-server ended with exit code 127: .*\/nowhere\/node: not found/,
    );
    expectNothingLeft();
  });

  test("for want of a place to write", async () => {
    const { home, runDir } = daemon.homes;
    mkdirSync(home);
    writeFileSync(runDir, "mine");
    await expect(start()).rejects.toThrow(/^Cannot write to .*home: .* STIGMER_HOME\.$/);
    expect(readFileSync(runDir, "utf8")).toBe("mine");
    expect(daemon.starts("server")).toEqual([]);
  });

  test("because it was given up", async () => {
    daemon.behave("runner", { neverReady: true });
    const giveUp = new AbortController();
    const starting = start({ signal: giveUp.signal });
    starting.catch(() => {});
    await eventually(() => expect(daemon.starts("runner")).toHaveLength(1));
    giveUp.abort();
    await expect(starting).rejects.toBe(giveUp.signal.reason);
    expect(daemon.events()).toEqual(["runner stopped", "server stopped"]);
    expectNothingLeft();
    await expect(start({ signal: giveUp.signal })).rejects.toBe(giveUp.signal.reason);
    expect(daemon.starts("server")).toHaveLength(1);
    expectNothingLeft();
  });
});

test("kill does not wait for those who do not listen, also after a stop that does", async () => {
  daemon.behave("server", { ignoreSigterm: true });
  daemon.behave("runner", { ignoreSigterm: true });
  const supervisor = await start();
  const stopped = supervisor.stop();
  expect(supervisor.state().state).toBe("stopping");
  await supervisor.kill();
  await stopped;
  expect(daemon.events()).toEqual([]);
  expectNothingLeft();
});
