/** What a server tells the others, and itself, about a run. */
export interface RunNotice {
  /** `ordered`: something is wanted of it that whoever follows it for the engine has to hear of; nothing of it has changed. */
  readonly kind: "created" | "changed" | "deleted" | "ordered";
  readonly executionId: string;
  readonly org: string;
  readonly sessionId: string;
  readonly agentId: string;
  /** The run's revision after what happened. */
  readonly revision: number;
  /** Whether phase, error or times are other ones than before: what lists show. */
  readonly summaryChanged: boolean;
  /** Whether a run was changed that had ended already, so that nobody listens to it alone any more. */
  readonly amended: boolean;
  /** The change as protobuf `StatusDelta`; undefined where it is too large to send around, and is read from the store. */
  readonly delta?: Uint8Array;
}

/**
 * What can be listened to: everything about one run; which runs a session gets and loses; what changes in the list of an
 * organization's runs, or of all; what is wanted of runs.
 */
export type Topic = `run:${string}` | `session:${string}` | `org:${string}` | "all" | "orders";

export interface Subscription {
  /** Resolved once nothing is missed any more, or at once where nothing can be heard. Never rejected. */
  readonly ready: Promise<void>;
  /** Safe to call twice. */
  close(): void;
}

/** `live`: what others publish is heard. `polling`: it is not, and has to be looked up in the store. */
export type FanoutState = "live" | "polling";

/**
 * How servers that share a store tell each other what happens in it, at most once and in any order: whoever listens orders
 * notices by their revision, and looks up in the store what is missing. Losing a notice costs time, never data.
 */
export interface Fanout {
  /** Whether other servers may write to the same store. */
  readonly shared: boolean;
  readonly state: FanoutState;
  /** How many topics this server listens to. */
  readonly subscriptions: number;
  /** How many notices were not sent because nobody could take them. */
  readonly droppedTotal: number;
  /** Never throws and never waits; nothing is kept for later. */
  publish(notice: RunNotice): void;
  /** Tells whichever runner holds this run to ask what is wanted of it. Never throws and never waits. */
  wake(executionId: string): void;
  /** `listener` must not throw. It also hears what this server publishes itself. */
  subscribe(topic: Topic, listener: (notice: RunNotice) => void): Subscription;
  /** Called after each change of `state`. */
  onState(listener: (state: FanoutState) => void): void;
  close(): Promise<void>;
}

/** A larger delta is read from the store by who needs it. */
export const MAX_DELTA_BYTES: number = 64 * 1024;

/** Who is to hear of it. Lists do not show what is said in a run, sessions not what happens to it. */
export function topicsOf(notice: RunNotice): Topic[] {
  if (notice.kind === "ordered") return ["orders"];
  const topics: Topic[] = [`run:${notice.executionId}`];
  if (notice.kind !== "changed" || notice.amended) topics.push(`session:${notice.sessionId}`);
  if (notice.kind !== "changed" || notice.summaryChanged) topics.push(`org:${notice.org}`, "all");
  return topics;
}
