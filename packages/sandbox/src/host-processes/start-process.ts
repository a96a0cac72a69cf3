// Starts a program in a session of its own, with pipes to it.
//
// On Linux Node copies itself first (fork), with the tables of all its memory, and waits until the copy has become the
// program; then each page that it writes to is copied once more. With 300 MiB and on busy cores that held up all else for 5 ms.
// The C library's posix_spawn copies nothing: 0.2 ms, however large this process is.
import { AsyncLocalStorage } from "node:async_hooks";
import { spawn } from "node:child_process";
import { Socket } from "node:net";
import { constants } from "node:os";
import { type ChildEnd, type Libc, loadLibc } from "./libc.ts";

export interface StartOptions {
  /** Absolute. */
  readonly cwd: string;
  /** All of it. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether it is to be written to. Default: it has nothing to read. */
  readonly stdin?: boolean;
}

export interface StartedProcess {
  /** Also its group's and its session's. Undefined when it could not be started. */
  readonly pid: number | undefined;
  /** Whether the number is still its own. */
  readonly isRunning: boolean;
  /** This process stays until then. Rejects with why it could not be started. */
  readonly exited: Promise<ChildEnd>;
  readonly stdin: Socket | undefined;
  readonly stdout: Socket;
  readonly stderr: Socket;
}

/** What can't be started is thrown, or told by `exited`. */
export type StartProcess = (file: string, args: readonly string[], options: StartOptions) => StartedProcess;

/** Node has a listener and a timer remember who set them up, which would be the run that started the first process. */
const outside = AsyncLocalStorage.snapshot();

let startByLibc: StartProcess | undefined;

/** The way that costs least here. */
export async function loadStartProcess(): Promise<StartProcess> {
  const libc = await loadLibc();
  return libc === undefined ? startByNode : (startByLibc ??= createStartByLibc(libc));
}

/** @internal */
export const startByNode: StartProcess = (file, args, { cwd, env, stdin = false }) => {
  const child = spawn(file, args, { cwd, env, detached: true, stdio: [stdin ? "pipe" : "ignore", "pipe", "pipe"] });
  const { promise: exited, resolve, reject } = Promise.withResolvers<ChildEnd>();
  let isRunning = child.pid !== undefined;
  child.once("exit", (code, signal) => {
    isRunning = false;
    resolve(code === null ? { signal: (signal && constants.signals[signal]) ?? 0 } : { code });
  });
  child.once("error", reject);
  // Where too many files are open Node makes no pipes, and says so a little later: there is nothing to read then.
  const toSocket = (pipe: unknown): Socket => (pipe as Socket | undefined) ?? new Socket().destroy();
  return {
    pid: child.pid,
    get isRunning() {
      return isRunning;
    },
    exited,
    stdin: (child.stdin as Socket | null) ?? undefined,
    stdout: toSocket(child.stdout),
    stderr: toSocket(child.stderr),
  };
};

/** A signal tells that some have ended. Should one get lost, that is noticed after this. */
const lookMs = 1_000;

/** @internal */
export function createStartByLibc(libc: Libc): StartProcess {
  const running = new Map<number, (end: ChildEnd) => void>();
  /** What this process stays for, as it does for a child of Node's. */
  let held: NodeJS.Timeout | undefined;

  const reap = (): void => {
    for (const [pid, tell] of running) {
      const end = libc.reap(pid);
      if (end === undefined) continue;
      running.delete(pid);
      // Nobody knows by which.
      tell(end === "lost" ? { signal: 0 } : end);
    }
    if (running.size > 0) return;
    clearInterval(held);
    held = undefined;
  };

  outside(() => process.on("SIGCHLD", reap));

  /** How it ended, for which this process stays. */
  const endOf = (pid: number): Promise<ChildEnd> => {
    held ??= outside(() => setInterval(reap, lookMs));
    return new Promise((resolve) => running.set(pid, resolve));
  };

  return (file, args, options) => {
    // By its name alone it is looked for in the PATH that it will have, which is Node's to do.
    if (!file.includes("/")) return startByNode(file, args, options);
    const { cwd, stdin = false } = options;
    const env = Object.entries(options.env).map(([name, value]) => `${name}=${value}`);
    // C would read no further. Which of them it is in is not told: that may be a secret.
    const isCut = [file, cwd, ...args, ...env].some((text) => text.includes("\0"));
    if (isCut) throw new Error(`spawn ${file}: a NUL byte in what it was given`);
    const { pid, ...pipes } = libc.spawn(file, args, { cwd, env, stdin });
    const exited = endOf(pid);
    const input = pipes.stdin === undefined ? undefined : new Socket({ fd: pipes.stdin, readable: false });
    // Nobody reads it now, or somebody who is not waited for. As with Node's.
    void exited.then(() => input?.destroy());
    return {
      pid,
      get isRunning() {
        return running.has(pid);
      },
      exited,
      stdin: input,
      stdout: new Socket({ fd: pipes.stdout, writable: false }),
      stderr: new Socket({ fd: pipes.stderr, writable: false }),
    };
  };
}
