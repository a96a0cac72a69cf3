import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

/** One process of the installation, that may be killed and is started again, as whatever runs it would do. */
export interface Part {
  readonly name: string;
  /** Whether it takes work. */
  readonly isReady: boolean;
  /** How it ended without having been killed, a line each. */
  readonly ends: readonly string[];
  /** Starts it, again and again until it is ready. */
  start(): Promise<void>;
  /** SIGKILL. Resolves when it is gone. */
  kill(): Promise<void>;
  /** Ends it in order, at last by SIGKILL. Answers its exit code, or the signal that ended it; nothing where it did not run. */
  stop(): Promise<number | string | undefined>;
  /** What it printed last. */
  printed(): string;
}

export interface PartOptions {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly stdin?: string;
  readonly ready: RegExp;
  /** Whether it does what it says, once it says so. One that does not within a while is started again, as by a liveness probe. */
  readonly works?: () => Promise<boolean>;
  /** Default SIGTERM. */
  readonly stopSignal?: NodeJS.Signals;
  /** For a start on a busy machine. Default 3 minutes. */
  readonly readyWithinMs?: number;
}

const RETRY_MS = 500;
const STOP_WITHIN_MS = 20_000;
const WORKS_WITHIN_MS = 30_000;
/** Of what it printed, for people. */
const KEPT = 20_000_000;

export function createPart(options: PartOptions): Part {
  const { name, ready, stopSignal = "SIGTERM", readyWithinMs = 180_000 } = options;
  const ends: string[] = [];
  let printed = "";
  let child: ChildProcess | undefined;
  let wanted = false;
  let isReady = false;
  let starting: Promise<void> | undefined;

  async function launch(): Promise<boolean> {
    const [command, ...args] = options.command;
    const started = spawn(command, args, {
      cwd: options.cwd,
      env: { PATH: process.env["PATH"], TMPDIR: process.env["TMPDIR"], LC_ALL: "C.UTF-8", ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    child = started;
    started.stdin.on("error", () => {});
    started.stdin.end(options.stdin ?? "");
    const endWithUs = (): void => void started.kill("SIGKILL");
    process.once("exit", endWithUs);
    let own = "";
    const isUp = new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), readyWithinMs);
      const settle = (up: boolean): void => {
        clearTimeout(timer);
        resolve(up);
      };
      for (const stream of [started.stdout, started.stderr]) {
        stream.setEncoding("utf8").on("data", (text: string) => {
          printed = (printed + text).slice(-KEPT);
          if (isReady && child === started) return;
          own += text;
          if (ready.test(own)) settle(true);
        });
      }
      started.once("error", () => settle(false));
      started.once("exit", (code, signal) => {
        process.off("exit", endWithUs);
        settle(false);
        if (child !== started) return;
        child = undefined;
        const wasReady = isReady;
        isReady = false;
        if (!wanted || signal === "SIGKILL") return;
        ends.push(
          `${name} ended ${wasReady ? "at work" : "at its start"} with ${String(signal ?? code)}: ${lastLine()}`,
        );
        if (wasReady) void start();
      });
    });
    isReady = (await isUp) && (await untilWorking(() => child === started));
    if (!isReady) await end("SIGKILL");
    return isReady;
  }

  const lastLine = (): string => printed.trimEnd().split("\n").at(-1) ?? "";

  async function untilWorking(lives: () => boolean): Promise<boolean> {
    for (const deadline = Date.now() + WORKS_WITHIN_MS; lives(); await sleep(RETRY_MS)) {
      if (!options.works || (await options.works())) return true;
      if (Date.now() > deadline) break;
    }
    return false;
  }

  async function start(): Promise<void> {
    wanted = true;
    starting ??= (async () => {
      while (wanted && !isReady && !(await launch())) await sleep(RETRY_MS);
    })().finally(() => (starting = undefined));
    await starting;
  }

  async function end(signal: NodeJS.Signals): Promise<number | string | undefined> {
    isReady = false;
    const ending = child;
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return undefined;
    const gone = once(ending, "exit");
    ending.kill(signal);
    const timer = setTimeout(() => ending.kill("SIGKILL"), STOP_WITHIN_MS);
    await gone;
    clearTimeout(timer);
    return ending.exitCode ?? ending.signalCode ?? undefined;
  }

  return {
    name,
    get isReady() {
      return isReady;
    },
    ends,
    start,
    kill: async () => void (await end("SIGKILL")),
    stop: async () => {
      wanted = false;
      const ended = await end(stopSignal);
      await starting;
      return ended;
    },
    printed: () => printed,
  };
}
