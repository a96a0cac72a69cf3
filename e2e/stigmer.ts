// Drives the real `stigmer` from outside, as a person or a script does: a home of its own, real processes, a real port.
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
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
  /** What is run. Default: `stigmer` from source. */
  readonly program?: readonly [string, ...string[]];
}

const FROM_SOURCE: readonly [string, ...string[]] = [process.execPath, "--conditions=@stigmer/source", MAIN];

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
  const [command, ...before] = options.program ?? FROM_SOURCE;
  const child = spawn(command, [...before, ...args], {
    cwd: options.cwd ?? tmpdir(),
    // Nothing of the machine's own configuration: no key, no home, no colour.
    env: {
      PATH: process.env["PATH"],
      NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
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
    // "close", not "exit": a daemon that holds on to its starter's output would keep a script waiting, and fails here.
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

/** A home of its own. What runs in it is stopped, and it is removed, at the end. */
export interface Home extends AsyncDisposable {
  readonly home: string;
  /** Runs a command in it. */
  stigmer(args: readonly string[], options?: StartOptions): Promise<Result>;
  start(args: readonly string[], options?: StartOptions): Started;
  /** What `local status --json` tells. */
  status(): Promise<Status>;
  /** The daemon's processes. */
  processes(): Promise<Status["processes"]>;
}

export interface Status {
  readonly running: boolean;
  readonly dataDir: string;
  readonly endpoint: string;
  readonly engine: string;
  readonly processes: readonly { name: string; pid: number; state: string; restarts: number }[];
}

/** `defaults` hold for every command in it. */
export async function makeHome(defaults: Pick<StartOptions, "env" | "program"> = {}): Promise<Home> {
  const home = await mkdtemp(join(tmpdir(), "stigmer-e2e-"));
  const inHome = (options: StartOptions = {}): StartOptions => ({
    ...defaults,
    ...options,
    env: { STIGMER_HOME: home, ...defaults.env, ...options.env },
  });
  const status = async (): Promise<Status> =>
    JSON.parse((await stigmer(["local", "status", "--json"], inHome())).stdout) as Status;
  return {
    home,
    stigmer: (args, options) => stigmer(args, inHome(options)),
    start: (args, options) => start(args, inHome(options)),
    status,
    processes: async () => (await status()).processes,
    async [Symbol.asyncDispose]() {
      // Where nothing was started there is nothing to stop.
      if (existsSync(join(home, "run"))) await stigmer(["local", "stop"], inHome());
      await rm(home, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** A home with a daemon in it, whose runner talks to a scripted model. */
export interface LocalPlatform extends Home {
  readonly model: ScriptedModel;
  /** What `local start` takes the model from; a later start needs it again. */
  readonly modelEnv: Readonly<Record<string, string>>;
  /** How the first `local start` ended. */
  readonly started: Result;
}

export interface LocalOptions {
  /** Default: one that is no secret. */
  readonly modelKey?: string;
  /** For every command. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A home where nothing runs yet, and the scripted model for what will. */
async function prepareLocal(
  scenario: string,
  { modelKey = "scripted-model-key", env }: LocalOptions = {},
): Promise<Omit<LocalPlatform, "started">> {
  const home = await makeHome({ env });
  const model = await startScriptedModel({ scenario });
  return {
    ...home,
    model,
    modelEnv: { ANTHROPIC_API_KEY: modelKey, ANTHROPIC_BASE_URL: model.url },
    async [Symbol.asyncDispose]() {
      await home[Symbol.asyncDispose]();
      await model.close();
    },
  };
}

export async function startLocal(scenario: string, options: LocalOptions = {}): Promise<LocalPlatform> {
  const prepared = await prepareLocal(scenario, options);
  const started = await prepared.stigmer(["local", "start", "--port", "0"], { env: prepared.modelEnv });
  if (started.exitCode !== 0) {
    await prepared[Symbol.asyncDispose]();
    throw new Error(`local start failed:\n${started.stdout}${started.stderr}`);
  }
  return { ...prepared, started };
}

/** The processes whose command line, environment or working directory names this path, as `PID COMMAND`. */
export async function processesOf(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await allPids()) {
    const [command, environment, cwd] = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
      readFile(`/proc/${pid}/environ`, "utf8").catch(() => ""),
      readlink(`/proc/${pid}/cwd`).catch(() => ""),
    ]);
    if (command.includes(path) || environment.includes(path) || cwd.startsWith(path))
      found.push(`${pid} ${command.replaceAll("\0", " ")}`);
  }
  return found;
}

/** A process, its children, theirs and so on: what runs by its doing, while it lives. */
export async function treeOf(root: number): Promise<{ pid: number; command: string }[]> {
  const parents = new Map<number, number>();
  for (const pid of await allPids()) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    // The name in parentheses may hold anything; what follows it does not.
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    if (stat !== "") parents.set(pid, parent);
  }
  const tree = [root];
  for (const pid of tree) for (const [child, parent] of parents) if (parent === pid) tree.push(child);
  return Promise.all(
    tree.map(async (pid) => {
      const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      return { pid, command: command.replaceAll("\0", " ").trim() };
    }),
  );
}

async function allPids(): Promise<number[]> {
  return (await readdir("/proc"))
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid);
}

/** Waits for a condition; for what other processes do in their own time. */
export async function until(condition: () => Promise<boolean>, seconds = 20): Promise<void> {
  for (const deadline = Date.now() + seconds * 1_000; Date.now() < deadline;) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`the condition did not come true within ${seconds} s`);
}
