import { type Child, type ChildCommand, type ChildMessage, startChild } from "./child-process.ts";
import type { ProcessName, ProcessState } from "./daemon-state.ts";

export interface SuperviseOptions {
  readonly name: ProcessName;
  /** Asked for at each start. */
  readonly command: () => ChildCommand;
  readonly restarts: RestartPolicy;
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
}

export const restartPolicy: RestartPolicy = {
  firstDelayMs: 100,
  longestDelayMs: 10_000,
  healthyAfterMs: 30_000,
  maxCrashes: 8,
};

export type ReadyMessage = Extract<ChildMessage, { type: "ready" }>;

/** A child that is started again when it crashes. */
export interface SupervisedChild {
  snapshot(): ProcessState;
  /** Resolves when the first start succeeded; rejects with what the child said, or how it ended, when it did not. */
  readonly ready: Promise<ReadyMessage>;
  /** Asks it to end, and makes it after `graceMs`. Resolves when the process is gone. Idempotent. */
  stop(graceMs: number): Promise<void>;
}

export function superviseChild(options: SuperviseOptions): SupervisedChild {
  const { name, restarts: policy, onChange } = options;
  let state: ProcessState["state"] = "starting";
  let child: Child | undefined;
  let startedAt = 0;
  let restarts = 0;
  let crashes = 0;
  let lastError = "";
  // What the child said of its own end is worth more than its exit code.
  let said: string | undefined;
  let wasReady = false;
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
    startedAt = performance.now();
    try {
      child = startChild(options.command(), { onMessage, onExit });
    } catch (error) {
      onExit(error instanceof Error ? error.message : String(error));
      return;
    }
    become("starting");
  }

  function onMessage(message: ChildMessage): void {
    if (message.type === "failed") {
      said = message.message;
      return;
    }
    wasReady = true;
    ready.resolve(message);
    if (state === "starting") become("running");
  }

  function onExit(reason: string): void {
    child = undefined;
    if (state === "stopping" || state === "stopped") {
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
    crashes = performance.now() - startedAt >= policy.healthyAfterMs ? 1 : crashes + 1;
    if (crashes > policy.maxCrashes) {
      become("failed");
      return;
    }
    become("restarting");
    timer = setTimeout(
      () => {
        restarts += 1;
        start();
      },
      Math.min(policy.firstDelayMs * 2 ** (crashes - 1), policy.longestDelayMs),
    );
  }

  start();
  return {
    ready: ready.promise,
    snapshot: () => ({ name, pid: child?.pid ?? 0, state, restarts, lastError }),
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
