/**
 * Where the embedded engine keeps its tasks: one row each, in the server's own store, so that a run and its place in the
 * queue are written in one transaction. How a row comes to be is the store's business; here is what the engine does
 * with it.
 *
 * A task is `waiting`, `leased` or `done`:
 * ```
 *   waiting ──lease──▶ leased ──complete──▶ done
 *      ▲                 │                   ▲
 *      └─release, expire─┘      discard──────┘ (from waiting; `end`: from either)
 * ```
 * Laws that hold for every sequence of operations, also when they run at once:
 * - Each operation is one transaction: it happens wholly or not at all, and is durable when it resolves.
 * - A task's `fence` starts at 0, grows by 1 with each lease and each new claim of it, and never otherwise. A lease is
 *   current while its task is leased to that runner under that fence; only `complete`, `release`, `expire`, `end` and a new
 *   claim end that, never time alone; and the store itself, which may do what `complete` does in the step that stores the end of
 *   the task's run, while the task's inbox is empty.
 * - `attempt` grows by 1 with each lease; a release that is not counted takes it back; a renewal that tells of progress makes it 1.
 * - Tasks of one session (`sessionId` not empty) run in the order they were enqueued: one is leased only when all earlier
 *   ones of its session are done. So never two at a time, and a retried task is not overtaken.
 * - What is done stays done, and its inbox is gone.
 * - A paused task is not leased until `resume`, whatever becomes of its lease. A cancel goes before a pause.
 * - A task is *at rest* when its run's status was stored as one that rests by itself, for a question to a person, under the task's
 *   present fence: stored in the same step, which is the store's business too, since whoever stored it may die before it tells
 *   the queue. What is asked of the task after that answers it. Unanswered, it is paused by whatever ends its lease without an
 *   outcome, and the attempt is taken back; a task that waits already, because its lease was lost just before, is paused at once.
 *
 * Times are milliseconds since the epoch, given by the caller; the store reads no clock.
 */
export interface QueueStore {
  /**
   * What is asked for at one moment, also of the store that the queue is part of, happens in that order and becomes durable by one
   * commit: a lease that is asked for right after the transaction that enqueues a task finds it, and costs no commit of its own. Each is
   * still stored wholly or not at all by itself. Absent: nothing is known of that.
   */
  readonly commitsTogether?: boolean;

  /**
   * Leases a task of the queue that is deliverable, and answers it as it is then, with fence and attempt raised and
   * `expires_at = now + leaseMs`: of the organization that has the fewest leased tasks among those that have a deliverable one,
   * the oldest by order of enqueueing; of organizations that have the same number, the oldest of all. So one that enqueues much
   * does not keep others waiting.
   *
   * Deliverable: waiting, available (`available_at <= now`), not asked to cancel, not paused, fewer than `maxAttempts`
   * attempts, first of its session, and of an organization with fewer than `maxPerOrg` leased tasks (the empty one has no
   * limit). Concurrent calls never answer the same task, nor do they exceed that number together.
   */
  lease(options: LeaseOptions): Promise<NewLease | undefined>;

  /**
   * Sets `expires_at` of those of the leases that are current, and answers their tasks, in the order given. A lease whose
   * task is not answered is lost. A time in the past is allowed: the next `expire` then takes the task. Of a task that has got ahead
   * the lease's attempt becomes the first.
   */
  renew(options: {
    readonly runnerId: string;
    readonly leases: readonly RenewedLease[];
    readonly expiresAt: number;
  }): Promise<QueuedTask[]>;

  /**
   * Ends a current lease: the task is done. Answers whether it is done under this fence: a repetition answers true again
   * and changes nothing; false when the lease was not current.
   */
  complete(lease: LeaseKey, runnerId: string): Promise<boolean>;

  /**
   * Ends a current lease without an outcome: the task waits in its old place; paused if it was at rest. Answers whether the task
   * waits under this fence: a repetition answers true again and changes nothing; false when the lease was not current.
   */
  release(lease: LeaseKey, options: ReleaseOptions): Promise<boolean>;

  /**
   * Ends every lease with `expires_at <= now`: those tasks wait in their old place, available at once, with `failure` as their
   * last failure; paused those that were at rest. Answers them, with the `runnerId` that lost each.
   */
  expire(options: { readonly now: number; readonly failure: string }): Promise<QueuedTask[]>;

  /**
   * Stores that a task is to be cancelled, unless it was already or is done; the first reason stays, whatever becomes of the
   * lease. Answers the state that the task is in, `unknown` without a row.
   */
  requestCancel(taskId: string, reason: string): Promise<"waiting" | "leased" | "done" | "unknown">;

  /**
   * Stores that a task is to rest, unless it is done; the first reason stays until `resume`. Answers the state that the task
   * is in: a waiting one is not leased any more, a leased one stays so until its holder releases it.
   */
  pause(taskId: string, reason: string): Promise<"waiting" | "leased" | "done" | "unknown">;

  /** Ends a task's pause. Answers the state that the task is in. */
  resume(taskId: string): Promise<"waiting" | "leased" | "done" | "unknown">;

  /**
   * Puts an item at the end of a task's inbox, unless the task is done or the inbox has an item of this id. Answers the state
   * that the task is in.
   */
  deliver(taskId: string, item: QueuedItem): Promise<"waiting" | "leased" | "done" | "unknown">;

  /** A task's inbox, oldest first, without its first `seen` items. Empty when the task is done or unknown. */
  inbox(taskId: string, options: { readonly seen: number }): Promise<QueuedItem[]>;

  /** The tasks that are leased to this holder, oldest first. */
  leasedTo(runnerId: string): Promise<QueuedTask[]>;

  /**
   * Raises the fence of a leased task for a new claimant within the lease, unless `claimId` is that of the claim before in
   * this lease. The key that `lease` gave is not current any more: such a task is ended by `end`. Answers the task; undefined when it is not leased. For engines whose holder of the lease is not who does the work.
   */
  claim(options: { readonly taskId: string; readonly claimId: string }): Promise<QueuedTask | undefined>;

  /** A leased task, whoever holds it, and its inbox without its first `seen` items: both as they are at one moment. */
  leased(taskId: string, options: { readonly seen: number }): Promise<LeasedTask | undefined>;

  /**
   * Stores that a leased task rests by itself, as `pause` does, unless its inbox has more than `inboxSeen` items: then it has a
   * reason to go on (`unread`). One step, so that no item comes between. Of one that is at rest, or was, not the inbox decides but
   * whether that was answered. `lost` when it is not leased under this fence.
   */
  rest(
    lease: LeaseKey,
    options: { readonly reason: string; readonly inboxSeen: number },
  ): Promise<"resting" | "unread" | "lost">;

  /**
   * Says that a holder of leases is there until `expiresAt`, in the past when it goes. For engines that share a queue: theirs are
   * leases that don't end by themselves, since the work goes on without their holders.
   */
  hold(options: { readonly holder: string; readonly expiresAt: number }): Promise<void>;

  /**
   * Gives this holder the leases of all others that once said that they are there, and are not at `now`. Answers those tasks,
   * oldest first; of several that ask at once each task is given to one.
   */
  adopt(options: { readonly holder: string; readonly now: number }): Promise<QueuedTask[]>;

  /** Makes a task done, whoever holds it. Answers whether it was done by this call. */
  end(taskId: string): Promise<boolean>;

  /**
   * The waiting tasks, paused ones too, that `lease` will never answer: asked to cancel, or `maxAttempts` attempts used up.
   * Oldest first.
   */
  undeliverable(options: { readonly maxAttempts: number }): Promise<QueuedTask[]>;

  /** A task that still waits under this fence becomes done; any other stays as it is. Answers whether it was done by this call. */
  discard(task: LeaseKey): Promise<boolean>;

  /**
   * Sets `expires_at` of every leased task, whatever it was: after a restart nobody's lease is older than the restart.
   * Answers how many there are.
   */
  recover(options: { readonly expiresAt: number }): Promise<number>;

  /**
   * When to look again: the earliest `expires_at` of a leased task or `available_at` after `now` of a waiting one that is
   * not paused. Undefined when time alone changes nothing.
   */
  nextDue(options: { readonly now: number }): Promise<number | undefined>;

  /** How many tasks there are of each kind, over all queues, and when the oldest waiting one was enqueued. */
  counts(): Promise<QueueCounts>;
}

/** What is written when a task comes into being. A task id is enqueued once: a repetition changes nothing. */
export interface NewTask {
  /** For a run the execution's id. */
  readonly id: string;
  readonly kind: TaskKind;
  /** The queue that runners take it from. */
  readonly queue: string;
  /** Tasks of one session run one after the other; those of the empty session are independent. */
  readonly sessionId: string;
  /** Whose it is: organizations share runners fairly. Empty: the server's own. */
  readonly org: string;
  /** For `cleanup-sandbox` a serialized `CleanupSandboxTask`; empty for a run. */
  readonly payload: Uint8Array;
  readonly createdAt: number;
}

export type TaskKind = "execution" | "cleanup-sandbox";

/** A task as the operation that answered it left it. */
export interface QueuedTask extends NewTask {
  /** Epoch of the last lease; 0 when there was none. */
  readonly fence: number;
  /** Counted leases since it last got ahead, that one included. */
  readonly attempt: number;
  /** Who holds it, or held it last; empty when nobody did. */
  readonly runnerId: string;
  /** Why it is to be cancelled; undefined when it is not. May be empty. */
  readonly cancelReason: string | undefined;
  /** Why it is to rest; undefined when it is not. May be empty. */
  readonly pauseReason: string | undefined;
  /** Why its last attempt did not end it; empty when there was none. */
  readonly lastFailure: string;
  /**
   * How often it was asked to cancel, to pause or to go on, or came to rest, while it was leased: whoever holds it compares it
   * with what they know of, when others may ask as well.
   */
  readonly orders: number;
  /** It is leased and at rest, unanswered: whoever claims it is to let it rest. Absent: it is not. */
  readonly atRest?: boolean;
}

/** Why a task is paused that was at rest, where nobody has said it in other words. */
export const AT_REST = "The run waits for a person to look at it.";

/** A task as `lease` answers it. */
export interface NewLease extends QueuedTask {
  /**
   * Nothing else was deliverable after it: until something changes there is no need to look again. False or absent: there may be
   * more.
   */
  readonly isLast?: boolean;
  /** How many items its inbox has. Absent: that is to be looked up. */
  readonly items?: number;
}

export interface LeasedTask {
  readonly task: QueuedTask;
  readonly items: readonly QueuedItem[];
}

/** What was sent to a task. */
export interface QueuedItem {
  /** Unique within the task. */
  readonly id: string;
  /** A serialized `InboxItem`. */
  readonly payload: Uint8Array;
}

/** Names a lease. */
export interface LeaseKey {
  readonly taskId: string;
  readonly fence: number;
}

export interface RenewedLease extends LeaseKey {
  /** Whether the task has got ahead under it. */
  readonly progressed?: boolean;
}

export interface LeaseOptions {
  readonly queue: string;
  readonly runnerId: string;
  readonly now: number;
  readonly leaseMs: number;
  readonly maxAttempts: number;
  /** How many tasks of an organization may be leased at once, over all queues. Undefined: any number. */
  readonly maxPerOrg?: number | undefined;
}

export interface ReleaseOptions {
  readonly runnerId: string;
  /** False: the attempt is taken back, as if the lease had not been. */
  readonly counted: boolean;
  readonly availableAt: number;
  /** Becomes the task's last failure. Undefined: the earlier one stays. */
  readonly failure?: string;
  /**
   * Given: the task rests from now on without anybody having asked for it, for this reason; where somebody had, theirs
   * stays. Not when it was at rest and that was answered.
   */
  readonly pauseReason?: string;
}

export interface QueueCounts {
  /** Wait for a runner, or for their turn or time. */
  readonly waiting: number;
  /** Wait for somebody to resume them; not in `waiting`. */
  readonly paused: number;
  /** Are somebody's, also when they were asked to pause. */
  readonly leased: number;
  readonly oldestWaitingAt: number | undefined;
}
