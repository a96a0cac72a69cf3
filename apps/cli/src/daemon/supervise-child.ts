import type { JsonLogger } from "@stigmer/telemetry";
import { type Child, type ChildCommand, type ChildMessage, startChild } from "./child-process.ts";
import type { ProcessName, ProcessState } from "./daemon-state.ts";

export interface SuperviseOptions {
  readonly name: ProcessName;
  /** Asked for at each start. */
  readonly command: () => ChildCommand;
  readonly restarts: RestartPolicy;
  readonly logger: JsonLogger;
  readonly onChange: () => void;
}

export interface RestartPolicy {
  /** Milliseconds before the first restart; doubled with each crash in a row. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** A child that ran this long, in milliseconds, starts over with the first delay. */
  readonly healthyAfterMs: number;
  /** So many crashes in a row, and it is left alone. */
  readonly maxCrashes: number;
  /** A child that is not ready by then, in milliseconds, is killed; that counts as a crash. */
  readonly readyWithinMs: number;
}

export const restartPolicy: RestartPolicy = {
  firstDelayMs: 100,
  longestDelayMs: 10_000,
  healthyAfterMs: 30_000,
  maxCrashes: 8,
  readyWithinMs: 60_000,
};

export type ReadyMessage = Extract<ChildMessage, { type: "ready" }>;

/** A child that is started again when it crashes. */
export interface SupervisedChild {
  snapshot(): ProcessState;
  /** Resolves when the first start succeeded; rejects with what the child said, or how it ended, when it did not. */
  readonly ready: Promise<ReadyMessage>;
  /** Asks it to end, and makes it after `graceMs`; a later call may shorten that. Resolves when the process is gone. */
  stop(graceMs: number): Promise<void>;
}

export function superviseChild(options: SuperviseOptions): SupervisedChild {
  const { name, restarts: policy, logger, onChange } = options;
  let state: ProcessState["state"] = "starting";
  let child: Child | undefined;
  let began = 0;
  let startedAt = "";
  let restarts = 0;
  let crashes = 0;
  let lastError = "";
  // What the child said of its own end is worth more than its exit code.
  let said: string | undefined;
  let wasReady = false;
  // Of the next restart, or of the one under way.
  let timer: NodeJS.Timeout | undefined;
  const stopped = Promise.withResolvers<void>();
  const ready = Promise.withResolvers<ReadyMessage>();
  // Whoever asks for `ready` sees the failure; nobody has to.
  ready.promise.catch(() => {});

  const become = (next: ProcessState["state"]): void => {
    state = next;
    onChange();
  };

  function start(): void {
    said = undefined;
    began = performance.now();
    startedAt = new Date().toISOString();
    let logFile: string;
    try {
      const command = options.command();
      logFile = command.logFile;
      child = startChild(command, { onMessage, onExit });
    } catch (error) {
      onExit(`could not be started: ${error instanceof Error ? error.message : String(error)}`);
      return;
    }
    const { readyWithinMs } = policy;
    timer = setTimeout(() => {
      said = `${name} was not ready within ${readyWithinMs / 1000} s: see ${logFile}`;
      child?.kill("SIGKILL");
    }, readyWithinMs);
    logger.info({ pid: child.pid }, `${name} starts`);
    become("starting");
  }

  function onMessage(message: ChildMessage): void {
    if (message.type === "failed") {
      said ??= message.message;
      return;
    }
    if (state !== "starting") return;
    clearTimeout(timer);
    wasReady = true;
    logger.info({ pid: child?.pid }, `${name} is ready`);
    become("running");
    ready.resolve(message);
  }

  function onExit(reason: string): void {
    clearTimeout(timer);
    child = undefined;
    if (state === "stopping") {
      logger.info({}, `${name} ${reason}`);
      become("stopped");
      stopped.resolve();
      return;
    }
    lastError = said ?? `${name} ${reason}`;
    // What fails at its very first start fails for a reason that starting again does not mend.
    if (!wasReady) {
      become("failed");
      ready.reject(new Error(lastError));
      return;
    }
    crashes = performance.now() - began >= policy.healthyAfterMs ? 1 : crashes + 1;
    if (crashes >= policy.maxCrashes) {
      logger.error({ crashes }, `${lastError}; it is left alone after ${crashes} crashes in a row`);
      become("failed");
      return;
    }
    const delayMs = Math.min(policy.firstDelayMs * 2 ** (crashes - 1), policy.longestDelayMs);
    logger.warn({ crashes, delayMs }, `${lastError}; it is started again`);
    timer = setTimeout(() => {
      restarts += 1;
      start();
    }, delayMs);
    become("restarting");
  }

  start();
  return {
    ready: ready.promise,
    snapshot: () => ({ name, pid: child?.pid ?? 0, state, ...(child && { startedAt }), restarts, lastError }),
    async stop(graceMs) {
      clearTimeout(timer);
      if (!child) {
        become("stopped");
        return;
      }
      if (state !== "stopping") {
        become("stopping");
        child.kill("SIGTERM");
      }
      const killer = setTimeout(() => child?.kill("SIGKILL"), graceMs);
      await stopped.promise;
      clearTimeout(killer);
    },
  };
}
