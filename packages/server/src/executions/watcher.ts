import type { AgentExecutionStatus, StatusDelta } from "@stigmer/protos/agentexecution/v1";
import { mergeDeltas } from "@stigmer/status";

/** What somebody who follows a run gets to know. `revision` is the run's after it. */
export type RunEvent =
  | { readonly kind: "snapshot"; readonly revision: number; readonly status: AgentExecutionStatus }
  | { readonly kind: "delta"; readonly revision: number; readonly delta: StatusDelta };

/** A stored change on its way to the watchers. */
export interface PublishedChange {
  readonly revision: number;
  readonly delta: StatusDelta;
  /** Size of the delta on the wire. */
  readonly bytes: number;
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
}

/** One reader of a run. It is told of changes as they happen and hands them out as fast as they are taken. */
export interface Watcher {
  /** Never waits: what a slow reader has not taken is merged, and at some size given up for a snapshot. */
  push(change: PublishedChange): void;
  /** No more will come; without an error the run has ended. */
  end(error?: Error): void;
  /** What is read once. Returns when the run has ended or `signal` is aborted. */
  events(signal: AbortSignal): AsyncGenerator<RunEvent>;
}

/** Merging few large changes is cheaper than merging each as it comes. */
const MAX_PENDING_CHANGES = 64;

export function createWatcher(options: WatcherOptions): Watcher {
  let pending: PublishedChange[] = [...(options.missed ?? [])];
  let needsSnapshot = options.missed === undefined;
  let end: { readonly error: Error | undefined } | undefined;
  let wake: () => void = () => {};

  const forgetPending = (): void => {
    pending = [];
    needsSnapshot = false;
  };

  async function* events(signal: AbortSignal): AsyncGenerator<RunEvent> {
    const onAbort = (): void => wake();
    signal.addEventListener("abort", onAbort);
    try {
      while (!signal.aborted) {
        if (end?.error) throw end.error;
        if (needsSnapshot) yield await options.snapshot(forgetPending);
        else if (pending.length > 0) yield take();
        else if (end) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  function take(): RunEvent {
    const { revision, delta } = merged(pending);
    pending = [];
    return { kind: "delta", revision, delta };
  }

  return {
    push: (change) => {
      if (options.mode === "whole") needsSnapshot = true;
      if (!needsSnapshot) {
        pending.push(change);
        if (pending.length > MAX_PENDING_CHANGES) pending = [merged(pending)];
        if (bytesOf(pending) > options.maxPendingBytes) {
          pending = [];
          needsSnapshot = true;
        }
      }
      wake();
    },
    end: (error) => {
      end ??= { error };
      wake();
    },
    events,
  };
}

/** Several changes in a row, at least one, as one. */
function merged(changes: readonly PublishedChange[]): PublishedChange {
  return {
    revision: changes.at(-1)?.revision ?? 0,
    delta: mergeDeltas(...changes.map(({ delta }) => delta)),
    bytes: bytesOf(changes),
  };
}

function bytesOf(changes: readonly PublishedChange[]): number {
  return changes.reduce((sum, { bytes }) => sum + bytes, 0);
}
