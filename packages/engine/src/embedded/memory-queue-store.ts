import {
  AT_REST,
  type LeaseKey,
  type NewTask,
  type QueuedItem,
  type QueuedTask,
  type QueueStore,
} from "./queue-store.ts";

/** A queue that lives as long as the process: for tests and demonstrations. */
export interface MemoryQueueStore extends QueueStore {
  /** Adds a task at the end. A task id that is there already changes nothing. */
  enqueue(task: NewTask): Promise<void>;
  /** What a store does when it takes a status of this fence that says that the run rests by itself. */
  comeToRest(lease: LeaseKey): Promise<void>;
  /** A task as it is, also when it is done. */
  find(taskId: string): Promise<QueuedTask | undefined>;
}

type Row = { -readonly [Key in Exclude<keyof QueuedTask, "atRest">]: QueuedTask[Key] } & {
  state: "waiting" | "leased" | "done";
  expiresAt: number;
  availableAt: number;
  claimId: string;
  inbox: QueuedItem[];
  /** What `orders` was when the task came to be at rest. */
  ordersAtRest: number | undefined;
};

// Every operation runs in one go between two awaits of its caller, which makes it a transaction.
export function createMemoryQueueStore(): MemoryQueueStore {
  const rows = new Map<string, Row>();
  /** Until when each is there. */
  const holders = new Map<string, number>();

  const open = (): Row[] => [...rows.values()].filter((row) => row.state !== "done");
  const waiting = (): Row[] => open().filter((row) => row.state === "waiting");
  const runnable = (): Row[] => waiting().filter((row) => row.pauseReason === undefined);
  const leased = (): Row[] => open().filter((row) => row.state === "leased");
  const current = ({ taskId, fence }: LeaseKey, runnerId: string): Row | undefined => {
    const row = rows.get(taskId);
    return row?.state === "leased" && row.fence === fence && row.runnerId === runnerId ? row : undefined;
  };

  /** Something is asked of an open task. */
  const ask = (taskId: string, change: (row: Row) => void): "waiting" | "leased" | "done" | "unknown" => {
    const row = rows.get(taskId);
    if (row && row.state !== "done") {
      change(row);
      if (row.state === "leased") row.orders += 1;
    }
    return row?.state ?? "unknown";
  };

  /** The lease has ended without an outcome. */
  const wait = (row: Row, { counted, pauseReason }: { counted: boolean; pauseReason?: string | undefined }): void => {
    const rests = isAtRest(row);
    row.state = "waiting";
    if (rests || !counted) row.attempt -= 1;
    if (rests) row.pauseReason ??= pauseReason ?? AT_REST;
    else if (row.ordersAtRest === undefined) row.pauseReason ??= pauseReason;
    row.ordersAtRest = undefined;
  };

  const end = (row: Row): void => {
    row.state = "done";
    row.inbox = [];
  };

  return {
    enqueue: async (task) => {
      if (rows.has(task.id)) return;
      const unclaimed = { fence: 0, attempt: 0, runnerId: "", claimId: "", lastFailure: "", orders: 0 };
      const unasked = { cancelReason: undefined, pauseReason: undefined, inbox: [], ordersAtRest: undefined };
      rows.set(task.id, { ...task, ...unclaimed, ...unasked, state: "waiting", expiresAt: 0, availableAt: 0 });
    },

    comeToRest: async ({ taskId, fence }) => {
      const row = rows.get(taskId);
      if (row?.fence !== fence) return;
      if (row.state === "leased") row.ordersAtRest = row.orders;
      if (row.state === "waiting") row.pauseReason ??= AT_REST;
    },

    find: async (taskId) => {
      const row = rows.get(taskId);
      return row && taskOf(row);
    },

    lease: async ({ queue, runnerId, now, leaseMs, maxAttempts, maxPerOrg = Number.POSITIVE_INFINITY }) => {
      const busySessions = new Set<string>();
      const live = new Map<string, number>();
      for (const { org } of leased()) live.set(org, (live.get(org) ?? 0) + 1);
      const liveOf = ({ org }: Row): number => live.get(org) ?? 0;
      const isAllowed = (row: Row): boolean => row.org === "" || liveOf(row) < maxPerOrg;
      const deliverable = open().filter((row) => {
        const first = row.sessionId === "" || !busySessions.has(row.sessionId);
        busySessions.add(row.sessionId);
        const held = row.cancelReason !== undefined || row.pauseReason !== undefined;
        const due = row.state === "waiting" && row.availableAt <= now && row.attempt < maxAttempts;
        return first && due && !held && row.queue === queue && isAllowed(row);
      });
      const fewest = Math.min(...deliverable.map(liveOf));
      const chosen = deliverable.find((row) => liveOf(row) === fewest);
      if (!chosen) return undefined;
      live.set(chosen.org, liveOf(chosen) + 1);
      chosen.state = "leased";
      chosen.fence += 1;
      chosen.attempt += 1;
      chosen.runnerId = runnerId;
      chosen.expiresAt = now + leaseMs;
      chosen.claimId = "";
      chosen.ordersAtRest = undefined;
      return { ...taskOf(chosen), isLast: !deliverable.some((row) => row !== chosen && isAllowed(row)) };
    },

    renew: async ({ runnerId, leases, expiresAt }) =>
      leases.flatMap((lease) => {
        const row = current(lease, runnerId);
        if (!row) return [];
        row.expiresAt = expiresAt;
        if (lease.progressed) row.attempt = 1;
        return [taskOf(row)];
      }),

    complete: async (lease, runnerId) => {
      const row = current(lease, runnerId);
      if (row) end(row);
      const task = rows.get(lease.taskId);
      return task?.state === "done" && task.fence === lease.fence;
    },

    release: async (lease, { runnerId, counted, availableAt, failure, pauseReason }) => {
      const row = current(lease, runnerId);
      if (row) {
        wait(row, { counted, pauseReason });
        row.availableAt = availableAt;
        if (failure !== undefined) row.lastFailure = failure;
      }
      const task = rows.get(lease.taskId);
      return task?.state === "waiting" && task.fence === lease.fence;
    },

    expire: async ({ now, failure }) =>
      leased()
        .filter((row) => row.expiresAt <= now)
        .map((row) => {
          wait(row, { counted: true });
          row.availableAt = 0;
          row.lastFailure = failure;
          return taskOf(row);
        }),

    requestCancel: async (taskId, reason) => ask(taskId, (row) => (row.cancelReason ??= reason)),

    pause: async (taskId, reason) => ask(taskId, (row) => (row.pauseReason ??= reason)),

    resume: async (taskId) => ask(taskId, (row) => (row.pauseReason = undefined)),

    deliver: async (taskId, item) => {
      const row = rows.get(taskId);
      if (row && row.state !== "done" && row.inbox.every(({ id }) => id !== item.id)) row.inbox.push(item);
      return row?.state ?? "unknown";
    },

    inbox: async (taskId, { seen }) => rows.get(taskId)?.inbox.slice(seen) ?? [],

    leasedTo: async (runnerId) =>
      leased()
        .filter((row) => row.runnerId === runnerId)
        .map(taskOf),

    claim: async ({ taskId, claimId }) => {
      const row = rows.get(taskId);
      if (row?.state !== "leased") return undefined;
      if (row.claimId !== claimId) row.fence += 1;
      row.claimId = claimId;
      return taskOf(row);
    },

    leased: async (taskId, { seen }) => {
      const row = rows.get(taskId);
      return row?.state === "leased" ? { task: taskOf(row), items: row.inbox.slice(seen) } : undefined;
    },

    rest: async ({ taskId, fence }, { reason, inboxSeen }) => {
      const row = rows.get(taskId);
      if (row?.state !== "leased" || row.fence !== fence) return "lost";
      const isUnread = row.ordersAtRest === undefined ? row.inbox.length > inboxSeen : !isAtRest(row);
      ask(taskId, () => {
        if (!isUnread) row.pauseReason ??= reason;
        row.ordersAtRest = undefined;
      });
      return isUnread ? "unread" : "resting";
    },

    hold: async ({ holder, expiresAt }) => void holders.set(holder, expiresAt),

    adopt: async ({ holder, now }) => {
      const gone = [...holders].filter(([other, expiresAt]) => other !== holder && expiresAt <= now);
      for (const [other] of gone) holders.delete(other);
      const names = new Set(gone.map(([other]) => other));
      const adopted = leased().filter(({ runnerId }) => names.has(runnerId));
      for (const row of adopted) row.runnerId = holder;
      return adopted.map(taskOf);
    },

    end: async (taskId) => {
      const row = rows.get(taskId);
      if (!row || row.state === "done") return false;
      end(row);
      return true;
    },

    undeliverable: async ({ maxAttempts }) =>
      waiting()
        .filter((row) => row.cancelReason !== undefined || row.attempt >= maxAttempts)
        .map(taskOf),

    discard: async ({ taskId, fence }) => {
      const row = rows.get(taskId);
      if (row?.state !== "waiting" || row.fence !== fence) return false;
      end(row);
      return true;
    },

    recover: async ({ expiresAt }) => {
      const recovered = leased();
      for (const row of recovered) row.expiresAt = expiresAt;
      return recovered.length;
    },

    nextDue: async ({ now }) => {
      const later = runnable().filter((row) => row.availableAt > now);
      const times = [...leased().map((row) => row.expiresAt), ...later.map((row) => row.availableAt)];
      return times.length === 0 ? undefined : Math.min(...times);
    },

    counts: async () => {
      const ages = runnable().map((row) => row.createdAt);
      return {
        waiting: ages.length,
        paused: waiting().length - ages.length,
        leased: leased().length,
        oldestWaitingAt: ages.length === 0 ? undefined : Math.min(...ages),
      };
    },
  };
}

/** And nothing was asked of it since. */
function isAtRest({ orders, ordersAtRest }: Row): boolean {
  return ordersAtRest === orders;
}

function taskOf(row: Row): QueuedTask {
  const {
    state: _state,
    expiresAt: _expiresAt,
    availableAt: _availableAt,
    claimId: _claimId,
    inbox: _inbox,
    ordersAtRest: _ordersAtRest,
    ...task
  } = row;
  return isAtRest(row) ? { ...task, atRest: true } : { ...task };
}
