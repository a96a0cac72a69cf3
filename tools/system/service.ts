import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GateError } from "../gate.ts";

/** Debian's `nobody`: servers that refuse to run as root run as this user. */
export const NOBODY = 65_534;

export interface ServiceOptions {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** Read by the service from its standard input; what must not stand in its arguments. */
  readonly stdin?: string;
  readonly folder: string;
  /** Printed by the service when it takes connections. */
  readonly ready: RegExp;
  /** What ends it in order, without waiting for its clients. */
  readonly stopSignal: "SIGINT" | "SIGTERM";
  /** Whether it stays root when we are. Default: it runs as an unprivileged user. */
  readonly keepsRights?: boolean;
  readonly signal: AbortSignal;
}

const READY_MS = 60_000;
const STOP_MS = 10_000;

/** Starts a service and waits until it takes connections. Answers how to stop it. */
export async function startService(options: ServiceOptions): Promise<() => Promise<void>> {
  const { name, folder, signal, stopSignal } = options;
  const [command, ...args] = dropRights(options.command, stopSignal, options.keepsRights);
  const child = spawn(command, args, {
    cwd: folder,
    env: { PATH: process.env["PATH"], LC_ALL: "C.UTF-8" },
    // A group of its own: a Ctrl-C is for us alone, who stop it when its users have stopped.
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const stop = (): Promise<void> => end(child, stopSignal);
  child.stdin.on("error", () => {});
  child.stdin.end(options.stdin ?? "");
  try {
    await readiness(child, options);
    signal.throwIfAborted();
    return stop;
  } catch (error) {
    await stop();
    throw new GateError(`${name} does not start: ${(error as Error).message}`);
  }
}

/** A folder of the service's own, that it may write to whoever it runs as. */
export async function makeFolder(name: string): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), `stigmer-${name}-`));
  if (process.getuid?.() === 0) await chown(path, NOBODY, NOBODY);
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 3 }) };
}

/** The command as an unprivileged user, unless it keeps our rights, who loses it when this process is killed. */
export function dropRights(
  command: readonly [string, ...string[]],
  onDeath = "SIGTERM",
  keepsRights = false,
): readonly [string, ...string[]] {
  if (process.platform !== "linux") return command;
  const user =
    process.getuid?.() === 0 && !keepsRights ? [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"] : [];
  return ["setpriv", ...user, "--pdeathsig", onDeath.replace("SIG", ""), ...command];
}

/** A port of 127.0.0.1 that was free a moment ago. */
export async function findPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function readiness(child: ChildProcess, { ready, signal }: ServiceOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    let printed = "";
    const finish = (error?: Error): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      if (error === undefined) resolve();
      else reject(error);
    };
    const fail = (reason: string): void =>
      finish(new Error([reason, ...printed.trim().split("\n").slice(-5)].join("\n")));
    const onAbort = (): void => fail("interrupted");
    const timer = setTimeout(() => fail(`not ready after ${READY_MS / 1_000} s`), READY_MS);
    signal.addEventListener("abort", onAbort);
    child.once("error", (error) => fail(error.message));
    child.once("exit", (code, by) => fail(`it ended with ${by ?? code}`));
    for (const stream of [child.stdout, child.stderr]) {
      // Read to the end: a full pipe would block the service.
      stream?.setEncoding("utf8").on("data", (text: string) => {
        printed = (printed + text).slice(-10_000);
        if (ready.test(printed)) finish();
      });
    }
  });
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await gone;
  clearTimeout(timer);
}
