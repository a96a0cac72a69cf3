import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findDaemon } from "./find-daemon.ts";
import { acquireLock, isLocked } from "./lock.ts";

let directory: string;
let file: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "stigmer-lock-"));
  file = join(directory, "run/daemon.lock");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Takes the lock in a process of its own, and says there whether it got it. */
async function holder(): Promise<{ process: ChildProcess; got: boolean }> {
  const source = `
    import { acquireLock } from ${JSON.stringify(join(import.meta.dirname, "lock.ts"))};
    const lock = acquireLock(${JSON.stringify(file)});
    process.send({ got: lock !== undefined });
    process.on("message", () => process.exit());`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", source], {
    stdio: ["ignore", "inherit", "ignore", "ipc"],
  });
  const [{ got }] = (await once(child, "message")) as [{ got: boolean }];
  return { process: child, got };
}

async function end(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

test("one process has it, until it gives it back", async () => {
  expect(isLocked(file)).toBe(false);
  expect(existsSync(file)).toBe(false);
  const lock = acquireLock(file);
  expect(lock).toBeDefined();
  expect(isLocked(file)).toBe(true);
  expect(acquireLock(file)).toBeUndefined();
  const other = await holder();
  await end(other.process);
  expect(other.got).toBe(false);
  lock?.release();
  lock?.release();
  expect(isLocked(file)).toBe(false);
  const again = acquireLock(file);
  expect(again).toBeDefined();
  again?.release();
});

test("a process that is killed has it no more", async () => {
  const other = await holder();
  expect([other.got, isLocked(file), acquireLock(file)]).toEqual([true, true, undefined]);
  await end(other.process);
  expect(isLocked(file)).toBe(false);
});

test("of many at once, one gets it", { timeout: 60_000 }, async () => {
  const holders = await Promise.all(Array.from({ length: 6 }, holder));
  expect(holders.filter(({ got }) => got)).toHaveLength(1);
  await Promise.all(holders.map((each) => end(each.process)));
});

test("what a dead holder left is removed before anybody sees the lock held", async () => {
  const seen: boolean[] = [];
  const lock = acquireLock(file, () => seen.push(isLocked(file)));
  expect([...seen, isLocked(file)]).toEqual([false, true]);
  let prepared = false;
  expect(acquireLock(file, () => (prepared = true))).toBeUndefined();
  expect(prepared).toBe(false);
  lock?.release();
});

test("a state without a lock is nobody's, whatever process has its id now", async () => {
  acquireLock(file)?.release();
  const state = {
    pid: process.pid,
    startedAt: "",
    state: "running",
    dataDir: "",
    logsDir: "",
    endpoint: "127.0.0.1:1",
  };
  writeFileSync(join(directory, "run/daemon.json"), JSON.stringify({ ...state, engine: "embedded", processes: [] }));
  expect(await findDaemon({ runDir: join(directory, "run") })).toBeUndefined();
});

test("a daemon whose state can't be read is not taken for none", async () => {
  const lock = acquireLock(file);
  writeFileSync(join(directory, "run/daemon.json"), '{"version":2}');
  await expect(findDaemon({ runDir: join(directory, "run") })).rejects.toThrow("use the version of stigmer");
  lock?.release();
  expect(readFileSync(join(directory, "run/daemon.json"), "utf8")).toBe('{"version":2}');
});
