import type { LeaseOptions, NewLease, NewTask, QueueStore } from "../embedded/queue-store.ts";

// What the cases of the suite are made of.

export function task(id: string, change: Partial<NewTask> = {}): NewTask {
  return {
    id,
    kind: "execution",
    queue: "q",
    sessionId: "",
    org: "",
    payload: new Uint8Array(),
    createdAt: 0,
    ...change,
  };
}

export function lease(queue: QueueStore, change: Partial<LeaseOptions> = {}): Promise<NewLease | undefined> {
  return queue.lease({ queue: "q", runnerId: "r1", now: 1_000, leaseMs: 1_000, maxAttempts: 5, ...change });
}
