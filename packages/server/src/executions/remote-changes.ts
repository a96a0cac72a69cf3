import type { Fanout, RunNotice, Subscription } from "../fanout/fanout.ts";
import type { LookUps } from "./look-ups.ts";

/** Changes of a run that another server stored. */
export interface RemoteChanges {
  /** In the order of their revisions, perhaps with gaps. */
  readonly changes: readonly { readonly revision: number; readonly delta?: Uint8Array }[];
  /** The latest revision that the run is known to have. */
  readonly upTo: number;
}

export interface RemoteChangesOptions {
  readonly id: string;
  readonly fanout: Fanout;
  readonly lookUps: LookUps;
  /** The revision that is known here. */
  readonly revision: () => number;
  /** Takes changes in; what it could not take in is looked up again. */
  readonly accept: (changes: RemoteChanges) => Promise<void>;
  /** The run was deleted. */
  readonly gone: () => void;
}

/** More than this is not kept while the store is slow, but read from it. */
const MAX_HEARD = 64;

/** Hears of a run's changes on other servers, for as long as somebody watches it here. */
export function createRemoteChanges(options: RemoteChangesOptions): {
  /** Resolved once nothing is missed. Each call is made good by one of `unlisten`. */
  listen(): Promise<void>;
  unlisten(): void;
} {
  const { id, fanout, lookUps, accept, gone } = options;
  let listening = 0;
  let subscription: Subscription | undefined;
  let unfollow: (() => void) | undefined;
  let heard: RunNotice[] = [];
  let upTo = 0;
  let accepting = false;

  function hear(notice: RunNotice): void {
    if (notice.kind === "deleted") gone();
    else if (notice.kind === "changed" && notice.revision > options.revision()) {
      // What is dropped here is a gap, which the store fills.
      if (heard.length < MAX_HEARD) heard.push(notice);
      catchUp(notice.revision);
    }
  }

  function catchUp(revision: number): void {
    upTo = Math.max(upTo, revision);
    if (!accepting) void acceptHeard();
  }

  async function acceptHeard(): Promise<void> {
    accepting = true;
    try {
      while (upTo > options.revision() && listening > 0) {
        const changes = heard.toSorted((a, b) => a.revision - b.revision);
        heard = [];
        const target = upTo;
        await accept({ changes, upTo });
        // A notice of what the store does not have: nothing to wait for.
        if (options.revision() < target) upTo = 0;
      }
    } catch {
      // The store is away: looking the run up again brings what is missing now.
    } finally {
      accepting = false;
    }
  }

  return {
    listen: async () => {
      listening += 1;
      if (listening === 1) {
        upTo = 0;
        subscription = fanout.subscribe(`run:${id}`, hear);
        const followed = {
          id,
          get revision() {
            return options.revision();
          },
          lookUp: (revision: number | undefined) => (revision === undefined ? gone() : catchUp(revision)),
        };
        unfollow = lookUps.followRun(followed);
      }
      await subscription?.ready;
    },
    unlisten: () => {
      listening -= 1;
      if (listening > 0) return;
      subscription?.close();
      unfollow?.();
      heard = [];
    },
  };
}
