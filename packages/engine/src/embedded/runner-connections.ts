import type { MessageInitShape } from "@bufbuild/protobuf";
import type { LeaseEventSchema } from "@stigmer/protos/runner/v1";
import type { EventChannel } from "./event-channel.ts";
import type { LeaseKey } from "./queue-store.ts";

/** A lease that a runner was told of, or has shown. */
export interface Held {
  readonly fence: number;
  readonly org: string;
}

/** A runner whose stream stands. */
export interface RunnerConnection {
  readonly runnerId: string;
  readonly taskQueue: string;
  readonly version: string;
  readonly maxConcurrency: number;
  /** What it holds as far as the engine told it, by task id. The queue store has the truth. */
  readonly leases: Map<string, Held>;
  readonly events: EventChannel<MessageInitShape<typeof LeaseEventSchema>>;
  /** When it last showed a sign of life. */
  heardAt: number;
  /** It handed work back, so it is shutting down: it gets nothing more on this stream. */
  leaving: boolean;
  /** Its stream has ended. */
  closed: boolean;
}

/** Who is connected, one connection for each runner id. */
export interface RunnerConnections {
  /** Makes it the runner's connection. One that it replaces is closed. */
  add(connection: RunnerConnection): void;
  /** Answers whether it was the runner's connection until now. */
  remove(connection: RunnerConnection): boolean;
  get(runnerId: string): RunnerConnection | undefined;
  /** Who was told of this task. */
  holderOf(taskId: string): RunnerConnection | undefined;
  /** Takes a lease off its runner's books, to free the capacity. */
  forget(lease: LeaseKey, runnerId: string): RunnerConnection | undefined;
  /** How many tasks of an organization those who are connected hold. */
  heldBy(org: string): number;
  /** Who gets the next task: of those that have room and were heard of, the one with the least work, in turns. */
  next(options: {
    readonly heardAfter: number;
    readonly exceptQueues: ReadonlySet<string>;
  }): RunnerConnection | undefined;
  all(): RunnerConnection[];
}

export function createRunnerConnections(): RunnerConnections {
  // The order is the turn: who was served last stands last.
  const connections = new Map<string, RunnerConnection>();

  return {
    add: (connection) => {
      const earlier = connections.get(connection.runnerId);
      if (earlier) {
        earlier.closed = true;
        earlier.events.close();
      }
      connections.set(connection.runnerId, connection);
    },
    remove: (connection) => {
      connection.closed = true;
      connection.events.close();
      return connections.get(connection.runnerId) === connection && connections.delete(connection.runnerId);
    },
    get: (runnerId) => connections.get(runnerId),
    holderOf: (taskId) => [...connections.values()].find((connection) => connection.leases.has(taskId)),
    forget: ({ taskId, fence }, runnerId) => {
      const connection = connections.get(runnerId);
      if (connection?.leases.get(taskId)?.fence !== fence) return undefined;
      connection.leases.delete(taskId);
      return connection;
    },
    heldBy: (org) => {
      let count = 0;
      for (const { leases } of connections.values())
        for (const held of leases.values()) if (held.org === org) count += 1;
      return count;
    },
    next: ({ heardAfter, exceptQueues }) => {
      let best: RunnerConnection | undefined;
      for (const connection of connections.values()) {
        if (connection.leaving || connection.heardAt <= heardAfter || exceptQueues.has(connection.taskQueue)) continue;
        if (connection.leases.size >= connection.maxConcurrency) continue;
        if (!best || connection.leases.size < best.leases.size) best = connection;
      }
      if (best) {
        connections.delete(best.runnerId);
        connections.set(best.runnerId, best);
      }
      return best;
    },
    all: () => [...connections.values()],
  };
}
