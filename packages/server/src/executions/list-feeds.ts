import type { Fanout, RunNotice, Subscription, Topic } from "../fanout/fanout.ts";
import type { ExecutionRecord } from "../store/execution-store.ts";
import type { Store } from "../store/store.ts";
import type { LookUps } from "./look-ups.ts";
import { pagesOf } from "./pages-of.ts";

/** What of a run in a list is not as it was. */
export interface ListChange {
  readonly executionId: string;
  readonly agentId: string;
  readonly revision: number;
  readonly deleted: boolean;
}

export interface ListFeedsOptions {
  readonly store: Pick<Store, "executions">;
  readonly fanout: Fanout;
  readonly lookUps: LookUps;
}

export interface ListMember {
  /** The organization whose runs are meant; undefined for all. */
  readonly org: string | undefined;
  /** How many of the newest runs are looked up. */
  readonly newest: number;
  /** Must not throw. */
  readonly onChange: (change: ListChange) => void;
}

/** One place for all on this server who follow a list, so that what they share is looked up once. */
export interface ListFeeds {
  join(member: ListMember): Subscription & {
    /** Says that the follower was told of this run, so that it is noticed when it goes. */
    told(record: ExecutionRecord): void;
  };
  /** The run at this revision or a later one; undefined when it is gone. Read once for all who ask for it at about the same time. */
  read(id: string, revision: number): Promise<ExecutionRecord | undefined>;
}

interface Feed {
  readonly members: Set<ListMember>;
  /** What was told last of each run. */
  readonly known: Map<string, KnownRun>;
  readonly subscription: Subscription;
  readonly stopLookingUp: () => void;
  rechecks: number;
}

interface KnownRun {
  readonly agentId: string;
  readonly shown: string;
  readonly ended: boolean;
}

const MAX_RECORDS = 256;
/** How many runs are known at most, to notice when they go while nobody tells. */
const MAX_KNOWN = 10_000;
/** Runs that have ended hardly change: only every so often is it looked whether they are still there. */
const LOOK_FOR_ENDED_EVERY = 10;

export function createListFeeds({ store, fanout, lookUps }: ListFeedsOptions): ListFeeds {
  const { executions } = store;
  const feeds = new Map<Topic, Feed>();
  const records = new Map<string, Promise<ExecutionRecord | undefined>>();

  async function read(id: string, revision: number): Promise<ExecutionRecord | undefined> {
    const kept = await records.get(id)?.catch(() => undefined);
    if (kept && kept.revision >= revision) return kept;
    const reading = executions.get(id);
    records.delete(id);
    records.set(id, reading);
    const [oldest] = records.keys();
    if (records.size > MAX_RECORDS && oldest !== undefined) records.delete(oldest);
    return reading;
  }

  function open(topic: Topic, org: string | undefined): Feed {
    const members = new Set<ListMember>();
    const tell = (change: ListChange): void => {
      for (const member of members) member.onChange(change);
    };
    const hear = ({ kind, executionId, agentId, revision }: RunNotice): void => {
      const deleted = kind === "deleted";
      if (deleted) forget(feed, executionId);
      tell({ executionId, agentId, revision, deleted });
    };
    const feed: Feed = {
      members,
      known: new Map(),
      subscription: fanout.subscribe(topic, hear),
      stopLookingUp: lookUps.followList(() => recheck(feed, org, tell)),
      rechecks: 0,
    };
    return feed;
  }

  function note({ known }: Feed, record: ExecutionRecord): boolean {
    const shown = JSON.stringify([record.phase, record.error, record.startedAt, record.completedAt]);
    const changed = known.get(record.id)?.shown !== shown;
    known.delete(record.id);
    known.set(record.id, { agentId: record.agentId, shown, ended: record.ended });
    for (const [id, run] of known) {
      if (known.size <= MAX_KNOWN) break;
      if (run.ended) known.delete(id);
    }
    return changed;
  }

  function forget({ known }: Feed, id: string): void {
    known.delete(id);
    records.delete(id);
  }

  /** Compares what was told with what is there. */
  async function recheck(feed: Feed, org: string | undefined, tell: (change: ListChange) => void): Promise<void> {
    const { known } = feed;
    const newest = Math.max(0, ...[...feed.members].map((member) => member.newest));
    const found = new Set<string>();
    const look = (record: ExecutionRecord): boolean => {
      const { id: executionId, agentId, revision } = record;
      if (found.has(executionId)) return false;
      found.add(executionId);
      const changed = note(feed, record);
      if (changed) tell({ executionId, agentId, revision, deleted: false });
      return changed;
    };
    for await (const page of pagesOf((query) => executions.list({ org }, query))) {
      // Behind a page that is as it was come older ones.
      if (page.filter(look).length === 0 || found.size >= newest) break;
    }
    for await (const page of pagesOf((query) => executions.list({ org, live: true }, query))) page.forEach(look);

    feed.rechecks += 1;
    const lookForEnded = feed.rechecks % LOOK_FOR_ENDED_EVERY === 0;
    const missed = [...known].filter(([id, { ended }]) => !found.has(id) && (lookForEnded || !ended));
    if (missed.length === 0) return;
    const revisions = await executions.revisions(missed.map(([id]) => id));
    for (const [executionId, { agentId, ended }] of missed) {
      const revision = revisions.get(executionId);
      const deleted = revision === undefined;
      if (deleted) forget(feed, executionId);
      // One that was under way and is not any more has ended.
      if (deleted || !ended) tell({ executionId, agentId, revision: revision ?? 0, deleted });
    }
  }

  return {
    read,
    join: (member) => {
      const topic: Topic = member.org === undefined ? "all" : `org:${member.org}`;
      const feed = feeds.get(topic) ?? open(topic, member.org);
      feeds.set(topic, feed);
      feed.members.add(member);
      return {
        ready: feed.subscription.ready,
        told: (record) => {
          if (fanout.shared) note(feed, record);
        },
        close: () => {
          if (!feed.members.delete(member) || feed.members.size > 0) return;
          feed.subscription.close();
          feed.stopLookingUp();
          feeds.delete(topic);
        },
      };
    },
  };
}
