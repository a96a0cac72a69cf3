import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { hasEnvironmentEntry, readProcess, readProcessTable, startTimeBefore } from "./process-table.ts";

const linux = process.platform === "linux";

test.each(linux ? (["proc", "ps"] as const) : (["ps"] as const))("%s tells parent, group and state", async (source) => {
  const child = spawn("sleep", ["60"], { detached: true, stdio: "ignore" });
  await once(child, "spawn");
  try {
    const entry = readProcessTable(source).find(({ pid }) => pid === child.pid);
    expect(entry).toMatchObject({ parent: process.pid, group: child.pid, session: child.pid });
    expect(entry?.startTime).toBeGreaterThan(0);
    expect(readProcessTable(source).find(({ pid }) => pid === child.pid)?.startTime).toBe(entry?.startTime);
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  expect(readProcessTable(source).find(({ pid }) => pid === child.pid)).toBeUndefined();
});

test.runIf(linux)("tells a time shortly before what is started now", async () => {
  const before = startTimeBefore() ?? 0;
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  try {
    const late = (readProcess(child.pid ?? 0)?.startTime ?? 0) - before;
    expect(late).toBeGreaterThanOrEqual(0);
    // Hundredths of a second, on a machine that does other things too.
    expect(late).toBeLessThan(1_000);
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

test.runIf(linux)("reads a process whose name looks like more fields", async () => {
  const child = spawn("sh", ["-c", "printf ') S 1 1 (x' > /proc/self/comm; echo ready; read line"], { detached: true });
  await once(child.stdout, "data");
  try {
    expect(readProcessTable().find(({ pid }) => pid === child.pid)).toMatchObject({ parent: process.pid });
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

test.runIf(linux)("finds an environment entry by its beginning, and only as a whole name", async () => {
  const env = { A: "1", MARK: "token.7.", B: "MARK=other" };
  const child = spawn("/bin/sh", ["-c", "echo ready; read line"], { env, detached: true });
  await once(child.stdout, "data");
  try {
    const entries = ["MARK=token.", "MARK=token.7.", "A=1", "MARK=token.8", "ARK=token", "MARK=other"];
    expect(entries.map((entry) => hasEnvironmentEntry(child.pid ?? 0, entry))).toEqual([
      true,
      true,
      true,
      false,
      false,
      false,
    ]);
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});
