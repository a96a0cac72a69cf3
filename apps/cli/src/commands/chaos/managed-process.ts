import { type ChildCommand, startChild } from "../../daemon/child-process.ts";

/** A child of a sweep. */
export interface ManagedProcess {
  readonly pid: number;
  /** Resolves with the port that it told, if it did; rejects when it ends before it is ready. */
  readonly ready: Promise<number | undefined>;
  /** Resolves with how it ended. */
  readonly gone: Promise<string>;
  /** Whether it was told to end. */
  readonly wasEnded: boolean;
  /** Asks it to end and makes it after `graceMs`; 0: SIGKILL at once. Resolves when it is gone. */
  end(graceMs: number): Promise<void>;
}

export interface ManagedCommand extends ChildCommand {
  /** How to see that it is ready, for a program that does not tell. Gets a promise of its end. */
  readonly isReady?: (gone: Promise<string>) => Promise<void>;
}

export function startManaged(command: ManagedCommand): ManagedProcess {
  const ready = Promise.withResolvers<number | undefined>();
  const gone = Promise.withResolvers<string>();
  let wasEnded = false;
  // What it said of its own end is worth more than its exit code.
  let said: string | undefined;
  // Whoever waits for it sees the failure; nobody has to.
  ready.promise.catch(() => {});
  const child = startChild(command, {
    onMessage: (message) => {
      if (message.type === "ready") ready.resolve(message.port);
      else said ??= message.message;
    },
    onExit: (reason) => {
      ready.reject(new Error(said ?? `${command.command} ${reason}`));
      gone.resolve(said ?? reason);
    },
  });
  command.isReady?.(gone.promise).then(() => ready.resolve(undefined), ready.reject);
  return {
    pid: child.pid,
    ready: ready.promise,
    gone: gone.promise,
    get wasEnded() {
      return wasEnded;
    },
    async end(graceMs) {
      wasEnded = true;
      child.kill(graceMs === 0 ? "SIGKILL" : "SIGTERM");
      const killer = setTimeout(() => child.kill("SIGKILL"), graceMs);
      await gone.promise;
      clearTimeout(killer);
    },
  };
}
