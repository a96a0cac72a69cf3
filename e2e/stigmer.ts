// Drives the real `stigmer` from outside, as a person or a script does: a home of its own, real processes, a real port.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startScriptedModel, type ScriptedModel } from "@stigmer/scripted-model";

export const repository: string = dirname(import.meta.dirname);
const MAIN = join(repository, "apps/cli/src/main.ts");

export interface Result {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
}

/** A command under way. */
export interface Started {
  readonly process: ChildProcess;
  /** Everything it printed so far. */
  output(): string;
  /** Resolves when the text has been printed; rejects when it ends without. */
  printed(text: string | RegExp): Promise<void>;
  readonly result: Promise<Result>;
}

/** Starts `stigmer` in a process group of its own, so that a test can press Ctrl-C for it. */
export function start(args: readonly string[], options: StartOptions = {}): Started {
  const child = spawn(process.execPath, ["--conditions=@stigmer/source", MAIN, ...args], {
    cwd: options.cwd ?? tmpdir(),
    // Nothing of the machine's own configuration: no key, no home, no colour.
    env: {
      PATH: process.env["PATH"],
      TMPDIR: process.env["TMPDIR"],
      NO_COLOR: "1",
      OLLAMA_BASE_URL: "http://127.0.0.1:9",
      ...options.env,
    },
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  child.stdin.on("error", () => {});
  child.stdin.end(options.stdin ?? "");
  let stdout = "";
  let stderr = "";
  let ended = false;
  const checks = new Set<() => void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    for (const check of checks) check();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    for (const check of checks) check();
  });
  const result = new Promise<Result>((resolve, reject) => {
    child.once("error", reject);
    // "exit", not "close": a daemon that was started must not keep the terminal waiting, nor this test.
    child.once("close", (code, signal) => {
      ended = true;
      resolve({ exitCode: code ?? 128 + (signal === "SIGKILL" ? 9 : signal === "SIGINT" ? 2 : 15), stdout, stderr });
      for (const check of checks) check();
    });
  });
  return {
    process: child,
    output: () => stdout + stderr,
    result,
    printed: (wanted) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const text = stdout + stderr;
          const found = typeof wanted === "string" ? text.includes(wanted) : wanted.test(text);
          if (!found && !ended) return;
          checks.delete(check);
          if (found) resolve();
          else reject(new Error(`it ended without printing ${String(wanted)}:\n${text}`));
        };
        checks.add(check);
        check();
      }),
  };
}

/** Runs `stigmer` to its end. */
export function stigmer(args: readonly string[], options?: StartOptions): Promise<Result> {
  return start(args, options).result;
}

/** A home of its own with a daemon in it, stopped and removed at the end. */
export interface LocalPlatform extends AsyncDisposable {
  readonly home: string;
  readonly model: ScriptedModel;
  /** Runs a command against it. */
  stigmer(args: readonly string[], options?: StartOptions): Promise<Result>;
  start(args: readonly string[], options?: StartOptions): Started;
  /** The daemon's processes as `local status --json` tells them. */
  processes(): Promise<{ name: string; pid: number; state: string; restarts: number }[]>;
}

export async function startLocal(scenario: string): Promise<LocalPlatform> {
  const home = await mkdtemp(join(tmpdir(), "stigmer-e2e-"));
  const model = await startScriptedModel({ scenario });
  const env = { STIGMER_HOME: home };
  const withHome = (options: StartOptions = {}): StartOptions => ({ ...options, env: { ...env, ...options.env } });
  const started = await stigmer(
    ["local", "start", "--port", "0"],
    withHome({ env: { ANTHROPIC_API_KEY: "scripted-model-key", ANTHROPIC_BASE_URL: model.url } }),
  );
  if (started.exitCode !== 0) throw new Error(`local start failed:\n${started.stdout}${started.stderr}`);
  return {
    home,
    model,
    stigmer: (args, options) => stigmer(args, withHome(options)),
    start: (args, options) => start(args, withHome(options)),
    async processes() {
      const { stdout } = await stigmer(["local", "status", "--json"], withHome());
      return (JSON.parse(stdout) as { processes: { name: string; pid: number; state: string; restarts: number }[] })
        .processes;
    },
    async [Symbol.asyncDispose]() {
      await stigmer(["local", "stop"], withHome());
      await model.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** The processes whose command line or environment's home names this path. */
export async function processesOf(path: string): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const found: string[] = [];
  for (const pid of pids) {
    const [command, environment, cwd] = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
      readFile(`/proc/${pid}/environ`, "utf8").catch(() => ""),
      import("node:fs/promises").then(({ readlink }) => readlink(`/proc/${pid}/cwd`)).catch(() => ""),
    ]);
    if (command.includes(path) || environment.includes(path) || cwd.startsWith(path))
      found.push(`${pid} ${command.replaceAll("\0", " ")}`);
  }
  return found;
}

/** Waits for a condition; for what other processes do in their own time. */
export async function until(condition: () => Promise<boolean>, seconds = 20): Promise<void> {
  for (const deadline = Date.now() + seconds * 1_000; Date.now() < deadline;) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`the condition did not come true within ${seconds} s`);
}
