// The thread that starts processes for a large one. To start a process is to fork this one: its page tables are copied, and
// who forks waits until the other has begun, on a busy machine until there is a processor for it. That thread waits instead.
import { Worker } from "node:worker_threads";
import { spawnThreadScript, type ThreadAnswer } from "./spawn-thread-script.ts";
import { createThreadProcess, type ThreadProcess } from "./thread-process.ts";
import type { StartedProcess, StartOptions } from "./start-process.ts";

const defaultIdleMs = 30_000;
/** One that died is not replaced sooner. */
const restartAfterMs = 10_000;

export interface SpawnThread {
  /** Starts the thread if there is none, and says whether it is ready. Never throws. */
  isReady(): boolean;
  /** Rejects with why the process could not be started. */
  start(options: StartOptions): Promise<StartedProcess>;
  end(): Promise<void>;
}

export interface SpawnThreadOptions {
  /** How long a thread lives that has nothing to do. Default: half a minute. */
  readonly idleMs?: number;
}

export function createSpawnThread({ idleMs = defaultIdleMs }: SpawnThreadOptions = {}): SpawnThread {
  let current: Thread | undefined;
  let startableAt = 0;
  return {
    isReady() {
      const now = performance.now();
      if (current === undefined && now >= startableAt) {
        startableAt = now + restartAfterMs;
        try {
          current = createThread(idleMs, (lost) => {
            if (current === lost) current = undefined;
          });
        } catch {
          // Threads may be forbidden (`--permission`): commands are then started by this one.
        }
      }
      return current?.isReady() === true;
    },
    start(options) {
      if (current === undefined) return Promise.reject(new Error("There is no thread to start it."));
      return current.start(options);
    },
    async end() {
      await current?.end();
    },
  };
}

type Thread = SpawnThread;

function createThread(idleMs: number, onLost: (thread: Thread) => void): Thread {
  const worker = new Worker(spawnThreadScript, {
    eval: true,
    name: "stigmer-spawn",
    // Commands have an environment of their own; this one's is not for them.
    env: {},
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 32 },
  });
  const processes = new Map<number, ThreadProcess>();
  let count = 0;
  let held = 0;
  let ready = false;
  let idle: NodeJS.Timeout | undefined;

  const rest = (): void => {
    clearTimeout(idle);
    if (processes.size > 0) return;
    idle = setTimeout(() => {
      onLost(thread);
      void worker.terminate();
    }, idleMs).unref();
  };
  const lost = (error: unknown): void => {
    clearTimeout(idle);
    onLost(thread);
    const cause = error instanceof Error ? error.message : `it ended with ${error}`;
    const reason = new Error(`the thread that starts processes is gone: ${cause}`);
    for (const each of processes.values()) each.lose(reason);
  };
  worker.once("online", () => {
    ready = true;
    rest();
  });
  worker.once("error", lost);
  worker.once("exit", lost);
  worker.on("message", (answer: ThreadAnswer) => processes.get(answer.id)?.hear(answer));
  // Not earlier: to listen keeps this process running.
  worker.unref();

  const thread: Thread = {
    isReady: () => ready,
    start(start) {
      const id = count++;
      clearTimeout(idle);
      if (held++ === 0) worker.ref();
      const process = createThreadProcess({
        start,
        // oxlint-disable-next-line unicorn/require-post-message-target-origin
        say: (request) => worker.postMessage({ id, ...request }),
        onFree() {
          if (--held === 0) worker.unref();
        },
        onGone() {
          processes.delete(id);
          rest();
        },
      });
      processes.set(id, process);
      return process.started;
    },
    async end() {
      await worker.terminate();
    },
  };
  return thread;
}
