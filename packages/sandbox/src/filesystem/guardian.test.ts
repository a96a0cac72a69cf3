import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { guardianScript, type GuardianEntry } from "../host-processes/guardian-script.ts";
import { createGuardian } from "../host-processes/guardian.ts";
import { createFilesystemSandbox } from "./index.ts";
import { hasProc, readProcessTable, type ProcessEntry } from "../host-processes/process-table.ts";

const fixture = fileURLToPath(new URL("__fixtures__/host.ts", import.meta.url));

let directory: string;
const seen: ProcessEntry[] = [];

beforeEach(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "guardian-")));
});

afterEach(async () => {
  for (const entry of alive(seen.splice(0))) process.kill(entry.pid, "SIGKILL");
  await rm(directory, { recursive: true });
});

const living = (): ProcessEntry[] => readProcessTable().filter(({ state }) => state !== "Z" && state !== "X");

function alive(entries: readonly ProcessEntry[]): ProcessEntry[] {
  return living().filter((now) => entries.some(({ pid, startTime }) => pid === now.pid && startTime === now.startTime));
}

/** Waits until it is there; a test that waits in vain fails by its time-out. */
async function eventually<T>(look: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await delay(10);
  }
}

function processOf(pid: number): Promise<ProcessEntry> {
  return eventually(() => {
    const entry = living().find((candidate) => candidate.pid === pid);
    if (entry) seen.push(entry);
    return entry;
  });
}

/** The process that wrote its number to the file. */
async function processIn(file: string): Promise<ProcessEntry> {
  const text = await eventually(async () => {
    const content = await readFile(join(directory, file), "utf8").catch(() => "");
    return content.endsWith("\n") && content;
  });
  return processOf(Number(text));
}

/** Children that lead a process group, as guardians and the shells of commands do. */
const groupsOf = (host: number): ProcessEntry[] =>
  living().filter(({ pid, parent, group }) => parent === host && group === pid);

function startHost(...commands: string[]): ChildProcess {
  return spawn(process.execPath, ["--conditions=@stigmer/source", fixture, directory, ...commands], {
    stdio: ["ignore", "ignore", "inherit"],
  });
}

async function ignoresInterrupts(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return (BigInt(`0x${/SigIgn:\s*(\w+)/.exec(status)?.[1] ?? "0"}`) & 2n) !== 0n;
}

/** One in a session of its own, and one that also cleared its environment; both without parent. */
const escapes = `
  (setsid sh -c 'echo $$ > escaped; exec sleep 1000' &)
  (setsid env -i sh -c 'echo $$ > vanished; exec sleep 1000' &)
`;

describe("the host", () => {
  test("dies by SIGKILL: what it runs, what commands left behind and the guardian go with it", async () => {
    const host = startHost(
      "sleep 1000 >/dev/null 2>&1 & echo $! > background",
      "env -i sleep 1000 >/dev/null 2>&1 & echo $! > cleared",
      `${hasProc ? `${escapes} ` : ""}echo $$ > shell
       sh -c 'echo $$ > foreground; exec sleep 1000'`,
    );
    try {
      const files = ["background", "cleared", "shell", "foreground", ...(hasProc ? ["escaped", "vanished"] : [])];
      const processes = await Promise.all(files.map(processIn));
      const shell = processes[2];
      const guardians = groupsOf(host.pid ?? 0).filter(({ pid }) => pid !== shell?.pid);
      expect(guardians).toHaveLength(1);
      seen.push(...guardians);
      for (const { pid } of guardians) {
        if (hasProc) await eventually(() => ignoresInterrupts(pid));
        else await delay(200);
        for (const name of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) process.kill(pid, name);
      }
      expect(alive([...processes, ...guardians])).toHaveLength(files.length + 1);
      host.kill("SIGKILL");
      await eventually(() => alive([...processes, ...guardians]).length === 0);
    } finally {
      host.kill("SIGKILL");
    }
  });

  test("is not kept from ending, and need not dispose of what it leaves", async () => {
    const host = startHost("sleep 1000 >/dev/null 2>&1 & echo $! > background; sleep 0.3", "");
    const exit = once(host, "exit");
    const processes = [await processIn("background"), ...groupsOf(host.pid ?? 0)];
    seen.push(...processes);
    expect(processes.length).toBeGreaterThanOrEqual(2);
    expect(await exit).toEqual([0, null]);
    await eventually(() => alive(processes).length === 0);
  });

  test("has one guardian for all its sandboxes, until the last of those that ran commands is disposed", async () => {
    const guardians = (): number[] => groupsOf(process.pid).map(({ pid }) => pid);
    expect(guardians()).toEqual([]);
    const sandboxes = await Promise.all([1, 2, 3].map(() => createFilesystemSandbox({ rootDir: directory })));
    try {
      expect(guardians()).toEqual([]);
      await sandboxes[0]?.execute("sleep 1000 >/dev/null 2>&1 &");
      await sandboxes[1]?.execute("true");
      const before = guardians();
      expect(before).toHaveLength(1);
      await sandboxes[0]?.dispose();
      expect(guardians()).toEqual(before);
    } finally {
      await Promise.all(sandboxes.map((sandbox) => sandbox.dispose()));
    }
    await eventually(() => groupsOf(process.pid).length === 0);
  });
});

test.runIf(hasProc)("commands inherit no end of the pipe", async () => {
  // The last word keeps the shell from becoming `ls`, which holds the directory open that it lists.
  const listOpen = "ls /proc/$$/fd; true";
  // 0, 1 and 2, and whatever this process was started with and passes on to all its children.
  const elsewhere = spawnSync("/bin/sh", ["-c", listOpen], { encoding: "utf8" }).stdout;
  expect(elsewhere).toMatch(/^0\n1\n2\n/);
  const sandbox = await createFilesystemSandbox({ rootDir: directory });
  try {
    await sandbox.execute("true");
    expect(groupsOf(process.pid)).toHaveLength(1);
    expect(await sandbox.execute(listOpen)).toMatchObject({ stdout: elsewhere });
  } finally {
    await sandbox.dispose();
  }
});

describe("a guardian", () => {
  test("that can't be started or doesn't listen fails no one", async () => {
    for (const shell of ["/no/such/shell", "/bin/false", "\0"]) {
      const guardian = createGuardian({ shell, restartAfterMs: 0 });
      for (let round = 0; round < 20; round++) {
        guardian.update({ hold: ["A=1", "5:7"] });
        guardian.update({ drop: ["5:7"] });
        await delay(1);
      }
      guardian.update({ drop: ["A=1"] });
    }
    await eventually(() => groupsOf(process.pid).length === 0);
  });

  test("that died is replaced, but not over and over", async () => {
    const stranger = spawn("sleep", ["1000"], { detached: true, stdio: "ignore" });
    const guarded = await processOf(stranger.pid ?? 0);
    const guardians = (): ProcessEntry[] => groupsOf(process.pid).filter(({ pid }) => pid !== stranger.pid);
    for (const restartAfterMs of [0, 600_000]) {
      const guardian = createGuardian({ restartAfterMs });
      guardian.update({ hold: [`${guarded.pid}`] });
      expect(guardians()).toHaveLength(1);
      for (const { pid } of guardians()) process.kill(pid, "SIGKILL");
      await eventually(() => guardians().length === 0);
      const replaced = (): boolean => {
        guardian.update({ hold: ["A=1"] });
        return guardians().length > 0;
      };
      if (restartAfterMs === 0) await eventually(replaced);
      for (let round = 0; round < 10; round++) {
        await delay(10);
        expect(replaced()).toBe(restartAfterMs === 0);
      }
      guardian.update({ drop: [`${guarded.pid}`, "A=1"] });
      await eventually(() => guardians().length === 0);
      expect(alive([guarded])).toHaveLength(1);
    }
  });
});

const shells = ["/bin/sh", "bash", "busybox", "ksh"]
  .map((shell) => [shell, ...(shell === "bash" ? ["--posix"] : []), ...(shell === "busybox" ? ["sh"] : [])])
  .filter(([shell = "", ...rest]) => spawnSync(shell, [...rest, "-c", "true"]).status === 0);

describe.each(shells.map((shell) => ({ name: shell.join(" "), shell })))("the script in $name", ({ shell }) => {
  const [file = "", ...prefix] = shell;

  async function afterwards(lines: string): Promise<void> {
    const guardian = spawn(file, [...prefix, "-c", guardianScript, "guardian"], {
      detached: true,
      stdio: ["pipe", "ignore", "inherit"],
    });
    guardian.stdin?.end(lines);
    expect(await once(guardian, "exit")).toEqual([0, null]);
  }

  async function startSleep(env?: Record<string, string>): Promise<ProcessEntry> {
    const child = spawn("sleep", ["1000"], { detached: true, stdio: "ignore", env: { ...process.env, ...env } });
    return processOf(child.pid ?? 0);
  }

  const killed = (entry: ProcessEntry): Promise<true> => eventually(() => alive([entry]).length === 0);

  test("kills the groups it holds, and none that was dropped", async () => {
    const held = await Promise.all([startSleep(), startSleep(), startSleep()]);
    const dropped = await Promise.all([startSleep(), startSleep(), startSleep()]);
    const [a, b, c] = held.map(({ pid }) => pid);
    const [x, y, z] = dropped.map(({ pid }) => pid);
    await afterwards(`+ ${x}\n+ ${a} ${y} ${b}\n- ${x}\n- ${y} 77\n+ ${z} ${c}\n- ${z}\n`);
    await Promise.all(held.map(killed));
    expect(alive(dropped)).toHaveLength(dropped.length);
  });

  test("takes nothing for a group that is none, and acts on no half line", async () => {
    const spared = await startSleep();
    await afterwards(
      `+ 0 1 -1 -${spared.pid} 0${spared.pid} ${spared.pid}x * x\n\nwhat ${spared.pid}\n+ ${spared.pid}`,
    );
    expect(alive([spared])).toHaveLength(1);
  });

  test.runIf(hasProc)("kills the group of a process it holds, unless the number is another's by now", async () => {
    const [held, reused] = [await startSleep(), await startSleep()];
    await afterwards(`+ ${held.pid}:${held.startTime} ${reused.pid}:${reused.startTime - 1} 999999999:5\n`);
    await killed(held);
    expect(alive([reused])).toHaveLength(1);
  });

  test.runIf(hasProc)("kills whatever has a limit of file locks that it holds", async () => {
    const start = async (limit: string): Promise<ProcessEntry> => {
      const child = spawn("/bin/sh", ["-c", `ulimit -w ${limit} 2>/dev/null || ulimit -x ${limit}; exec sleep 1000`], {
        detached: true,
        stdio: "ignore",
      });
      const entry = await processOf(child.pid ?? 0);
      await eventually(async () => (await readFile(`/proc/${entry.pid}/comm`, "utf8")) === "sleep\n");
      return entry;
    };
    const held = await Promise.all(["9000000000000000000", "9000000000000000007"].map(start));
    const spared = await Promise.all(["8999999999999999999", "9000000000000000008"].map(start));
    await afterwards("+ 9000000000000000000..9000000000000000007 77..78\n");
    await Promise.all(held.map(killed));
    expect(alive(spared)).toHaveLength(spared.length);
  });

  test.runIf(hasProc)("kills whatever carries a mark it holds", async () => {
    const marks: [GuardianEntry, GuardianEntry] = [`MARK_${process.pid}=a.`, `MARK_${process.pid}=b.`];
    const name = `MARK_${process.pid}`;
    const held = await Promise.all([startSleep({ [name]: "a.0." }), startSleep({ [name]: "a.17." })]);
    const spared = await Promise.all([startSleep({ [name]: "b.0." }), startSleep({ [name]: "c.0." }), startSleep()]);
    await afterwards(`+ ${marks.join(" ")}\n- ${marks[1]}\n`);
    await Promise.all(held.map(killed));
    expect(alive(spared)).toHaveLength(spared.length);
  });
});
