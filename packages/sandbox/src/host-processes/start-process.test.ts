import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, realpath, rm } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { loadLibc } from "./libc.ts";
import { hasProc } from "./process-table.ts";
import {
  createStartByLibc,
  loadStartProcess,
  startByNode,
  type StartedProcess,
  type StartProcess,
} from "./start-process.ts";

const libc = await loadLibc();
const isLinux = process.platform === "linux";

let cwd: string;
beforeAll(async () => {
  cwd = await realpath(await mkdtemp(join(tmpdir(), "start-process-")));
});
afterAll(() => rm(cwd, { recursive: true }));

const env = { PATH: process.env["PATH"] ?? "/bin:/usr/bin" };

/** What can't be started is thrown or told, as it is. */
async function ended(start: () => StartedProcess) {
  const started = start();
  const [stdout, stderr, end] = await Promise.all([text(started.stdout), text(started.stderr), started.exited]);
  return { ...end, stdout, stderr };
}

const starts: [string, StartProcess][] = [["Node's", startByNode]];
if (libc !== undefined) starts.push(["posix_spawn", createStartByLibc(libc)]);

describe.each(starts)("a process started by %s", (_name, start) => {
  const sh = (script: string, options?: { stdin?: boolean; env?: Record<string, string> }, args: string[] = []) =>
    start("/bin/sh", ["-c", script, "sh", ...args], { cwd, env, ...options });

  test("prints on two pipes, has its directory, and nothing but its variables, and tells its code", async () => {
    const script = 'pwd; echo "$1" >&2; env; exit 3';
    const { stdout, ...end } = await ended(() => sh(script, { env: { A: "ä=b" } }, ["an ärgument"]));
    expect(end).toEqual({ code: 3, stderr: "an ärgument\n" });
    const [where, ...variables] = stdout.trim().split("\n");
    expect(where).toBe(cwd);
    expect(variables).toContain("A=ä=b");
    // Its shell's own.
    expect(variables.filter((variable) => !/^(A|PWD|OLDPWD|SHLVL|_)=/.test(variable))).toEqual([]);
  });

  test("reads what is written to it, or nothing", async () => {
    const long = "x".repeat(1_000_000);
    const cat = sh("cat", { stdin: true });
    cat.stdin?.end(long);
    expect(await text(cat.stdout)).toBe(long);
    expect(await cat.exited).toEqual({ code: 0 });
    expect(await ended(() => sh("cat; echo end"))).toMatchObject({ stdout: "end\n" });
  });

  test("that ends takes no more input", async () => {
    const deaf = sh("exec sleep 0.05", { stdin: true });
    deaf.stdin?.on("error", () => {});
    deaf.stdin?.write("x".repeat(1_000_000));
    await deaf.exited;
    await vi.waitFor(() => expect(deaf.stdin?.destroyed).toBe(true));
  });

  test("tells by which signal it ended, and that its number is no longer its own", async () => {
    const sleeping = sh("exec sleep 1000");
    const pid = sleeping.pid ?? 0;
    expect(pid).toBeGreaterThan(1);
    expect(sleeping.isRunning).toBe(true);
    process.kill(-pid, "SIGUSR1");
    expect(await sleeping.exited).toEqual({ signal: constants.signals.SIGUSR1 });
    expect(sleeping.isRunning).toBe(false);
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  });

  test.runIf(hasProc)("leads a session of its own, with no signal ignored or blocked", async () => {
    // By the shell itself, which blocks signals while it starts another program.
    const script =
      'read -r stat </proc/$$/stat; echo "$stat"; while read -r name set; do case $name in SigBlk:|SigIgn:) echo "$name $set";; esac; done </proc/$$/status';
    const started = sh(script);
    const [stat, ...signals] = (await text(started.stdout)).trim().split("\n");
    const [, , group, session] = stat?.replace(/^.*\) /, "").split(" ") ?? [];
    expect([group, session]).toEqual([String(started.pid), String(started.pid)]);
    expect(signals).toEqual([`SigBlk: ${"0".repeat(16)}`, `SigIgn: ${"0".repeat(16)}`]);
  });

  test("inherits no pipe of another one", async () => {
    const first = sh("cat", { stdin: true });
    const second = sh("exec sleep 1000");
    first.stdin?.end();
    expect(await first.exited).toEqual({ code: 0 });
    process.kill(second.pid ?? 0, "SIGKILL");
    await second.exited;
  });

  test("among many tells its own end", async () => {
    const codes = Array.from({ length: 100 }, (_each, code) => code);
    expect(await Promise.all(codes.map((code) => sh(`exit ${code}`).exited))).toEqual(codes.map((code) => ({ code })));
  });

  test.each<[string, string, { file?: string; cwd?: string; args?: string[] }]>([
    ["a program that is not there", "ENOENT", { file: "/nowhere/sh" }],
    ["a program that is none", "EACCES", { file: "/" }],
    ["a directory that is not there", "ENOENT", { cwd: "/nowhere" }],
    ["more arguments than the system takes", "E2BIG", { args: Array<string>(60).fill("x".repeat(100_000)) }],
  ])(
    "is not there with %s, and leaves nothing open",
    async (_name, code, { file = "/bin/sh", args = [], ...wrong }) => {
      const before = await descriptors();
      // Node names the program in some of them.
      await expect(ended(() => start(file, ["-c", "true", ...args], { cwd, env, ...wrong }))).rejects.toThrow(
        new RegExp(`^spawn (${file} )?${code}$`),
      );
      await vi.waitFor(async () => expect(await descriptors()).toBeLessThanOrEqual(before));
    },
  );

  test.runIf(hasProc)("is not there where too many files are open", async () => {
    expect((await withFewFiles(start)).slice(0, 5)).toEqual(Array<string>(5).fill("spawn /bin/sh EMFILE, 0 more open"));
  });

  test("leaves no descriptor open", async () => {
    await ended(() => sh("true", { stdin: true }));
    const before = await descriptors();
    for (let round = 0; round < 5; round++) await ended(() => sh("true", { stdin: true }));
    await vi.waitFor(async () => expect(await descriptors()).toBeLessThanOrEqual(before));
  });

  test("is found in the PATH that it will have", async () => {
    expect(await ended(() => start("sh", ["-c", "echo found"], { cwd, env }))).toMatchObject({ stdout: "found\n" });
  });
});

async function descriptors(): Promise<number> {
  if (!hasProc) return 0;
  return (await readdir("/proc/self/fd")).length;
}

/** What comes of a start where one file more can be opened, two, and so on: the last one is enough for three pipes. */
async function withFewFiles(start: StartProcess): Promise<string[]> {
  const program = fileURLToPath(new URL("__fixtures__/starts-with-few-files.ts", import.meta.url));
  const command = `ulimit -n 100 && exec "${process.execPath}" --conditions=@stigmer/source "${program}" ${start.name}`;
  const { stdout } = await promisify(execFile)("/bin/sh", ["-c", command]);
  return stdout.trim().split("\n");
}

describe.runIf(isLinux)("on Linux", () => {
  test("processes are started without a copy of this one", async () => {
    expect(libc).toBeDefined();
    expect(await loadStartProcess()).not.toBe(startByNode);
  });

  test("they are started by Node where koffi is not installed", async () => {
    vi.resetModules();
    vi.doMock("koffi", () => {
      throw new Error("Cannot find package 'koffi'");
    });
    const fresh = await import("./start-process.ts");
    expect(await fresh.loadStartProcess()).toBe(fresh.startByNode);
    vi.doUnmock("koffi");
    vi.resetModules();
  });

  test("a NUL byte, at which C would stop reading, is refused without a word of what it is in", () => {
    const start = createStartByLibc(loadedLibc());
    for (const wrong of [{ args: ["secret\0"] }, { cwd: "/secret\0" }, { env: { A: "secret\0" } }]) {
      const { args = [], ...options } = wrong;
      expect(() => start("/bin/sh", args, { cwd, env, ...options })).toThrow(
        /^spawn \/bin\/sh: a NUL byte(?!.*secret)/,
      );
    }
  });

  test("a process needs the descriptors of its pipes, and no others", async () => {
    expect((await withFewFiles(createStartByLibc(loadedLibc()))).at(-1)).toBe("started, 0 more open");
  });

  test("a signal without a name is told too", async () => {
    const start = createStartByLibc(loadedLibc());
    expect(await start("/bin/sh", ["-c", "kill -40 $$; sleep 10"], { cwd, env }).exited).toEqual({ signal: 40 });
  });

  test("an end of which no signal told is noticed nevertheless", async () => {
    const real = loadedLibc();
    let looks = 0;
    const start = createStartByLibc({ ...real, reap: (pid) => (looks++ === 0 ? undefined : real.reap(pid)) });
    expect(await start("/bin/sh", ["-c", "exit 3"], { cwd, env }).exited).toEqual({ code: 3 });
    expect(looks).toBe(2);
  });

  test("an end that somebody else was told of is one", async () => {
    const start = createStartByLibc({ ...loadedLibc(), reap: () => "lost" });
    const started = start("/bin/sh", ["-c", "exit 3"], { cwd, env });
    expect(await started.exited).toEqual({ signal: 0 });
    expect(loadedLibc().reap(started.pid ?? 0)).toEqual({ code: 3 });
  });

  test("this process stays until they have ended, and no longer", async () => {
    const program = fileURLToPath(new URL("__fixtures__/starts-and-returns.ts", import.meta.url));
    const begun = performance.now();
    await promisify(execFile)(process.execPath, ["--conditions=@stigmer/source", program, cwd]);
    expect(await readFile(join(cwd, "told"), "utf8")).toBe('{"code":3}');
    expect(performance.now() - begun).toBeLessThan(20_000);
  });
});

function loadedLibc() {
  if (libc === undefined) throw new Error("koffi is not installed.");
  return libc;
}
