import type { AgentExecutionStatus, StatusDelta } from "@stigmer/protos/agentexecution/v1";
import { mergeDeltas } from "@stigmer/status";

/** What somebody who follows a run gets to know. `revision` is the run's after it, and so is the hash, where it is told. */
export type RunEvent = { readonly revision: number; readonly stateHash?: string } & (
  | { readonly kind: "snapshot"; readonly status: AgentExecutionStatus }
  | { readonly kind: "delta"; readonly delta: StatusDelta }
);

/** A stored change on its way to the watchers. */
export interface PublishedChange {
  readonly revision: number;
  readonly delta: StatusDelta;
  /** Size of the delta on the wire. */
  readonly bytes: number;
  /** The hash of the status after it, now and then. */
  readonly stateHash?: string;
}

export interface WatcherOptions {
  /** `whole`: each event is a snapshot, also the first. `deltas`: snapshots only where changes can't be given. */
  readonly mode: "whole" | "deltas";
  /** Changes that the watcher lacks; undefined when it lacks everything. */
  readonly missed?: readonly PublishedChange[];
  /** Reads the status; `atRead` is called at a moment when no change is between the status and the watcher. */
  readonly snapshot: (atRead: () => void) => Promise<RunEvent>;
  /** More than this waiting for a slow reader is replaced by a snapshot. In bytes. */
  readonly maxPendingBytes: number;
  /** Called when there may be something to take. */
  readonly wake: () => void;
}

/** One reader of a run. It is told of changes as they happen and hands them out as fast as they are taken. */
export interface Watcher {
  /** Never waits: what a slow reader has not taken is merged, and at some size given up for a snapshot. */
  push(change: PublishedChange): void;
  /** Changes are missing that can't be given any more: a snapshot comes next. */
  restart(): void;
  /** No more will come; without an error the run has ended. */
  end(error?: Error): void;
  /**
   * What there is to know by now, and undefined when there is nothing. Not to be called while an earlier answer is awaited.
   * Throws the error that it was ended with.
   */
  take(): RunEvent | Promise<RunEvent> | undefined;
  /** Whether the run has ended and all of it was taken. */
  readonly done: boolean;
}

/** Merging few large changes is cheaper than merging each as it comes. */
const MAX_PENDING_CHANGES = 64;

export function createWatcher(options: WatcherOptions): Watcher {
  const { mode, maxPendingBytes, wake } = options;
  let pending: PublishedChange[] = [...(options.missed ?? [])];
  let pendingBytes = bytesOf(pending);
  let needsSnapshot = options.missed === undefined;
  let end: { readonly error: Error | undefined } | undefined;

  const forgetPending = (): void => {
    pending = [];
    pendingBytes = 0;
    needsSnapshot = false;
  };

  function restart(): void {
    pending = [];
    pendingBytes = 0;
    needsSnapshot = true;
  }

  return {
    push: (change) => {
      if (mode === "whole") needsSnapshot = true;
      if (!needsSnapshot) {
        pending.push(change);
        pendingBytes += change.bytes;
        if (pending.length > MAX_PENDING_CHANGES) pending = [merged(pending)];
        if (pendingBytes > maxPendingBytes) restart();
      }
      wake();
    },
    restart: () => {
      restart();
      wake();
    },
    end: (error) => {
      end ??= { error };
      wake();
    },
    take: () => {
      if (end?.error) throw end.error;
      if (needsSnapshot) return options.snapshot(forgetPending);
      if (pending.length === 0) return undefined;
      const { revision, delta, stateHash } = merged(pending);
      forgetPending();
      return { kind: "delta", revision, delta, stateHash };
    },
    get done() {
      return end !== undefined && !end.error && !needsSnapshot && pending.length === 0;
    },
  };
}

/** Several changes in a row, at least one, as one. */
function merged(changes: readonly PublishedChange[]): PublishedChange {
  const [first] = changes;
  if (first && changes.length === 1) return first;
  return {
    revision: changes.at(-1)?.revision ?? 0,
    delta: mergeDeltas(...changes.map(({ delta }) => delta)),
    bytes: bytesOf(changes),
    stateHash: changes.at(-1)?.stateHash,
  };
}

function bytesOf(changes: readonly PublishedChange[]): number {
  return changes.reduce((sum, { bytes }) => sum + bytes, 0);
}
