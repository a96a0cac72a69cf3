import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type FakeDaemon, fakeDaemon } from "./__fixtures__/fake-daemon.ts";
import { isAlive } from "./is-alive.ts";
import { daemonFiles, findDaemon } from "./find-daemon.ts";
import { findEndpoint } from "./find-endpoint.ts";
import { isLocked } from "./lock.ts";
import { startDetached, type StartDetachedOptions, type StartedDaemon } from "./start-detached.ts";
import { stopDaemon } from "./stop-daemon.ts";

let daemon: FakeDaemon;
beforeEach(async () => {
  daemon = await fakeDaemon();
});
afterEach(async () => {
  await stopDaemon(daemon.homes, { withinMs: 5_000 });
  await daemon[Symbol.asyncDispose]();
});

function start(options: Partial<StartDetachedOptions> = {}): Promise<StartedDaemon> {
  const { homes, program } = daemon;
  const env = { PATH: process.env["PATH"], OPENAI_API_KEY: "hush", SANDBOX_ROOT_DIR: "work" };
  return startDetached({ homes, program, env, secrets: {}, port: 0, ...options });
}

const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 15_000, interval: 10 });
const daemonLog = (): string => readFileSync(join(daemon.homes.logsDir, "daemon.log"), "utf8");

test("many at once start one daemon, and all get it", { timeout: 60_000 }, async () => {
  const started = await Promise.all(Array.from({ length: 8 }, () => start()));
  expect(started.filter(({ found }) => !found)).toHaveLength(1);
  expect(new Set(started.map(({ state }) => state.pid)).size).toBe(1);
  expect(started.map(({ state }) => state.state)).toEqual(Array.from({ length: 8 }, () => "running"));
  expect([daemon.starts("server").length, daemon.starts("runner").length]).toEqual([1, 1]);
  expect(await start()).toEqual({ state: started[0]?.state, found: true });
  const home = daemon.homes;
  expect(await findEndpoint({ env: {}, home })).toBe("127.0.0.1:4711");
  expect(await findEndpoint({ env: { STIGMER_BACKEND_ENDPOINT: "example.com:443" }, home })).toBe("example.com:443");
});

test("it is stopped with all it started, and can be again", async () => {
  const { state } = await start();
  expect(await stopDaemon(daemon.homes)).toEqual({ state, killed: false });
  expect(daemon.events()).toEqual(["runner stopped", "server stopped"]);
  expect(daemon.alive()).toEqual([]);
  await eventually(() => expect(isAlive(state.pid)).toBe(false));
  expect(existsSync(daemonFiles(daemon.homes).stateFile)).toBe(false);
  expect(await stopDaemon(daemon.homes)).toBeUndefined();
  expect(await findEndpoint({ env: {}, home: daemon.homes })).toBe("localhost:50051");
});

test("kill -9 of it ends its children, and its state fools nobody", async () => {
  const { state } = await start();
  const { stateFile } = daemonFiles(daemon.homes);
  process.kill(state.pid, "SIGKILL");
  await eventually(() => expect(daemon.alive()).toEqual([]));
  expect(daemon.events().toSorted()).toEqual(["runner orphaned", "server orphaned"]);
  expect(existsSync(stateFile)).toBe(true);
  expect(await findDaemon(daemon.homes)).toBeUndefined();
  const again = await start();
  expect(again).toMatchObject({ found: false, state: { state: "running" } });
  expect(again.state.pid).not.toBe(state.pid);
});

test("Ctrl-C that reaches its whole group stops it in order", async () => {
  const { state } = await start();
  process.kill(-state.pid, "SIGINT");
  await eventually(() => expect(isLocked(daemonFiles(daemon.homes).lockFile)).toBe(false));
  expect(daemon.events()).toEqual(["runner stopped", "server stopped"]);
});

test("one that does not answer any more is killed with its children", async () => {
  daemon.behave("runner", { ignoreSigterm: true });
  const { state } = await start();
  process.kill(state.pid, "SIGSTOP");
  expect(await stopDaemon(daemon.homes, { withinMs: 100 })).toMatchObject({ killed: true, state: { pid: state.pid } });
  await eventually(() => expect([...daemon.alive(), isAlive(state.pid)]).toEqual([false]));
  expect(existsSync(daemonFiles(daemon.homes).stateFile)).toBe(false);
});

test("it stays, and says why, when both children are left alone", async () => {
  const { state } = await start();
  for (const name of ["server", "runner"] as const)
    daemon.behave(name, { crash: { when: "before", stderr: "Error: no" } });
  for (const { pid } of state.processes) process.kill(pid, "SIGKILL");
  await vi.waitFor(
    async () =>
      expect((await findDaemon(daemon.homes))?.processes).toMatchObject([
        { state: "failed", pid: 0, lastError: "stigmer-server ended with exit code 1: Error: no" },
        { state: "failed", pid: 0, lastError: "agent-runner ended with exit code 1: Error: no" },
      ]),
    { timeout: 15_000, interval: 20 },
  );
  // Written when the last of them was given up: a daemon that had nothing to wait for would be gone by its next turn.
  expect(await stopDaemon(daemon.homes)).toMatchObject({ killed: false, state: { pid: state.pid } });
  expect(daemonLog()).toContain('"msg":"the daemon stops"');
});

describe("a start that fails", () => {
  test("says the same to all who wanted it, and leaves nothing", { timeout: 60_000 }, async () => {
    daemon.behave("server", { failed: "Port 50051 is in use." });
    const results = await Promise.allSettled([start(), start(), start()]);
    expect(results.map((result) => result.status === "rejected" && (result.reason as Error).message)).toEqual(
      Array.from({ length: 3 }, () => "Port 50051 is in use."),
    );
    expect(daemon.alive()).toEqual([]);
    expect(await findDaemon(daemon.homes)).toBeUndefined();
    expect(daemonLog()).toContain("Port 50051 is in use.");
  });

  test("because it was given up leaves nothing", async () => {
    daemon.behave("runner", { neverReady: true });
    const giveUp = new AbortController();
    const starting = start({ signal: giveUp.signal });
    starting.catch(() => {});
    await eventually(() => expect(daemon.starts("runner")).toHaveLength(1));
    giveUp.abort();
    await expect(starting).rejects.toThrow("The daemon was stopped while it was starting.");
    expect(daemon.alive()).toEqual([]);
    expect(await findDaemon(daemon.homes)).toBeUndefined();
  });

  test("for want of its program names the log", async () => {
    const program = [process.execPath, join(daemon.homes.home, "no-such-file.js")] as const;
    await expect(start({ program })).rejects.toThrow(/^The daemon ended with exit code 1: see .*daemon\.log\.$/);
    expect(daemonLog()).toContain("MODULE_NOT_FOUND");
  });
});

test("its environment and arguments have no secret in them", async () => {
  const { state } = await start({ secrets: { ANTHROPIC_API_KEY: "hush" } });
  if (process.platform !== "linux") return;
  const shown = ["environ", "cmdline"].map((file) => readFileSync(`/proc/${state.pid}/${file}`, "utf8"));
  expect(shown.join()).not.toContain("hush");
  // It is in another directory: a relative path stays where its user meant it.
  expect(shown[0]).toContain(`SANDBOX_ROOT_DIR=${process.cwd()}/work\0`);
  expect(daemonLog()).not.toContain("hush");
});
