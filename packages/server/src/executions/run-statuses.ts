import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { AgentExecutionStatusSchema, ExecutionPhase, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import type { AgentExecutionStatus, StatusChange, StatusDelta } from "@stigmer/protos/agentexecution/v1";
import { isTerminal, StatusError } from "@stigmer/status";
import type { Fanout, FanoutState, RunNotice } from "../fanout/fanout.ts";
import { createInProcessFanout } from "../fanout/in-process.ts";
import type { Logger } from "../logger.ts";
import type { ExecutionRecord } from "../store/execution-store.ts";
import type { Store } from "../store/store.ts";
import { createClosing, shuttingDown } from "./closing.ts";
import { closingDelta, type Ending } from "./closing-delta.ts";
import { followList, type FollowListOptions, type ListEvent } from "./follow-list.ts";
import { followRun, type FollowOptions } from "./follow-run.ts";
import { followSession, type FollowSessionOptions, type SessionEvent } from "./follow-session.ts";
import { createListFeeds } from "./list-feeds.ts";
import type { ChangeOutcome, ProposedChange } from "./live-run.ts";
import { createLiveRuns } from "./live-runs.ts";
import { createLookUps } from "./look-ups.ts";
import { deletedExecution, refusalError } from "./refusals.ts";
import type { RunEvent } from "./watcher.ts";

export interface RunStatusesOptions {
  readonly store: Pick<Store, "executions">;
  readonly logger: Logger;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly clock?: () => number;
  /** When the log of a run under way is compacted, in bytes. Default 4 MiB. */
  readonly compactAfterBytes?: number;
  /** Up to which size the log of a run that ends stays, where the store keeps logs, in bytes. Default 16 KiB. */
  readonly keptLogBytes?: number;
  /** How much may wait for a slow watcher, in bytes. Default 1 MiB. */
  readonly maxPendingBytes?: number;
  /** How many runs that nobody uses stay in memory. Default 256. */
  readonly maxIdleRuns?: number;
  /** What goes to and comes from other servers on the same store. Default: there are none. Closed by who made it. */
  readonly fanout?: Fanout;
  /** How often the store is asked what others did while the fan-out is away, in milliseconds. Default 500. */
  readonly pollEveryMs?: number;
  /** The same while it is there, for notices that are lost all the same. Default 5 000. */
  readonly checkEveryMs?: number;
}

export interface StatusPatch {
  readonly executionId: string;
  readonly fence: number;
  /** Counts the patches of this fence from 1. */
  readonly sequence: number;
  readonly delta: StatusDelta;
}

/** How a runner's last change went. */
export interface PatchedToEnd {
  readonly revision: number;
  /** The runner's lease is over, too. */
  readonly leaseEnded: boolean;
}

/** How changes come to those who follow them, at one moment. */
export interface FanoutMetrics {
  /** `live`: other servers are heard, or there are none. `polling`: what they do is looked up in the store. */
  readonly state: FanoutState;
  /** How many runs, sessions and lists this server listens to. */
  readonly subscriptions: number;
  /** How often the store was looked into for what others did. */
  readonly pollsTotal: number;
  /** How many notices to other servers were dropped because they could not be sent. */
  readonly droppedTotal: number;
}

/** The one place that changes, and shows, the status of runs. Refusals are ConnectErrors. */
export interface RunStatuses {
  /** Applies a runner's change, exactly once. Answers the revision after it. */
  patch(patch: StatusPatch): Promise<number>;
  /** As `patch`, of a change that ends the run: the lease of this runner ends in the same step, if it has one and nothing waits in the inbox. */
  patchToEnd(patch: StatusPatch, runnerId: string): Promise<PatchedToEnd>;
  /**
   * Merges the whole status that an older runner reports; also into a run that has ended, whose phase stays. With a `fence` only
   * while that is the run's.
   */
  merge(executionId: string, status: AgentExecutionStatus, fence?: number): Promise<void>;
  /**
   * A run's task has ended with this status, from the runner that held `fence` (undefined: nobody holds it any more).
   * Only phase, error, times and usage are looked at. Applied unless the run has ended already; a status that is not terminal
   * makes the run FAILED, so that no run stays without anyone to work on it.
   */
  finish(executionId: string, fence: number | undefined, status: AgentExecutionStatus | undefined): Promise<void>;
  /** Ends the run as FAILED with this text, unless it has ended already. */
  fail(executionId: string, message: string): Promise<void>;
  /**
   * The run's task waits, or rests until somebody resumes it: its phase becomes what is true then. Nothing happens when
   * the task is somebody's, who tells the phase, or when the run has ended.
   */
  settle(executionId: string): Promise<void>;
  /** Somebody asked for a pause: a run that rests for an approval is paused from now on, so that no approval wakes it. */
  holdWaiting(executionId: string): Promise<void>;
  /** Undefined when there is no such run. The status is the caller's own. `known`: what the caller has just seen of it. */
  read(executionId: string, known?: ExecutionRecord): Promise<AgentExecutionStatus | undefined>;
  /** Ends without an error once the run has ended. */
  follow(executionId: string, options: FollowOptions): AsyncIterable<RunEvent>;
  /** Ends only with its signal, or when the server closes. */
  followSession(options: FollowSessionOptions): AsyncIterable<SessionEvent>;
  /** As {@link followSession}. */
  followList(options: FollowListOptions): AsyncIterable<ListEvent>;
  /** A run came or went, here: everyone who follows it is told so, on every server. */
  announce(notice: RunNotice): void;
  metrics(): FanoutMetrics;
  /**
   * Makes good what a crash between two steps left: runs that no task would end fail, phases become what their tasks say.
   * For the start of a server.
   */
  recover(): Promise<void>;
  /** Ends everyone who follows a run, now or later, with UNAVAILABLE, so that they come back. */
  close(): void;
}

export function createRunStatuses(options: RunStatusesOptions): RunStatuses {
  const { store, logger, clock = Date.now, maxIdleRuns = 256 } = options;
  const { compactAfterBytes = 4 * 1024 * 1024, keptLogBytes = 16 * 1024, maxPendingBytes = 1024 * 1024 } = options;
  const { fanout = createInProcessFanout(), pollEveryMs = 500, checkEveryMs = 5_000 } = options;
  const lookUps = createLookUps({ store, fanout, logger, pollEveryMs, checkEveryMs });
  const closing = createClosing();
  const sizes = { compactAfterBytes, keptLogBytes, maxPendingBytes, maxIdleRuns };
  const live = createLiveRuns({ store, fanout, lookUps, clock, ...sizes });
  const feeds = createListFeeds({ store, fanout, lookUps });
  const parts = { store, fanout, lookUps, live, feeds, closing };

  function change(
    id: string,
    propose: (status: AgentExecutionStatus) => ProposedChange | undefined,
  ): Promise<ChangeOutcome> {
    return live
      .using(id, (run) => run.change(propose))
      .catch((error: unknown) => {
        if (StatusError.is(error)) throw new ConnectError(`delta: ${error.message}`, Code.InvalidArgument);
        throw error;
      });
  }

  async function end(id: string, outcome: Outcome): Promise<void> {
    const at = new Date(clock()).toISOString();
    const result = await change(id, (status) => {
      if (isTerminal(status.phase)) return undefined;
      return {
        fence: outcome.fence,
        delta: closingDelta(status, { completedAt: at, messageId: `${id}-end`, ...outcome }),
      };
    });
    if (result.kind === "stale-fence") {
      logger.warn(
        { executionId: id, fence: outcome.fence },
        "a lost runner told the end of a run; left to its successor",
      );
    }
  }

  /** Whoever moves the task after this has looked settles it again: what is stored is true of its place at that moment. */
  async function settle(id: string): Promise<void> {
    const place = (await store.executions.writeState(id))?.taskPlace;
    if (place !== "resting" && place !== "waiting") return;
    await change(id, ({ phase, startedAt }) => {
      if (isTerminal(phase) || RESTING.includes(phase) === (place === "resting")) return undefined;
      const settled = place === "resting" ? ExecutionPhase.EXECUTION_PAUSED : unpaused(startedAt);
      return { place, delta: movedTo(settled) };
    });
  }

  async function patch(
    { executionId, delta, fence, sequence }: StatusPatch,
    endsLeaseOf?: string,
  ): Promise<Extract<ChangeOutcome, { kind: "appended" | "repeated" }>> {
    const rests = delta.changes.some(restsByItself);
    const outcome = await change(executionId, () => ({ delta, fence, sequence, rests, endsLeaseOf }));
    if (outcome.kind !== "appended" && outcome.kind !== "repeated") throw refusalError({ executionId, fence }, outcome);
    // Told by a runner that has lost the run to nobody yet, a phase may not be what is true of a run that waits.
    const isOver = outcome.kind === "appended" && outcome.leaseEnded;
    if (!isOver && delta.changes.some(movesRun)) await settle(executionId);
    return outcome;
  }

  /** Whether the task is done that a runner has under this fence, or had. */
  async function isTaskOver(id: string, fence: number): Promise<boolean> {
    const state = await store.executions.writeState(id);
    return state?.taskPlace === "over" && state.taskFence === fence;
  }

  return {
    patch: async (given) => (await patch(given)).revision,
    patchToEnd: async (given, runnerId) => {
      const outcome = await patch(given, runnerId);
      const { revision } = outcome;
      if (outcome.kind === "appended") return { revision, leaseEnded: outcome.leaseEnded ?? false };
      return { revision, leaseEnded: await isTaskOver(given.executionId, given.fence) };
    },
    merge: async (executionId, status, fence) => {
      const delta = create(StatusDeltaSchema, { changes: [{ change: { case: "merged", value: reported(status) } }] });
      const outcome = await change(executionId, (current) => ({ delta, fence, amends: isTerminal(current.phase) }));
      if (outcome.kind !== "appended") throw refusalError({ executionId, fence: fence ?? 0 }, outcome);
      await settle(executionId);
    },
    finish: (executionId, fence, status) => end(executionId, { fence, ...outcomeOf(status) }),
    fail: (executionId, error) => end(executionId, { phase: ExecutionPhase.EXECUTION_FAILED, error }),
    settle,
    holdWaiting: async (id) => {
      const held = movedTo(ExecutionPhase.EXECUTION_PAUSED);
      await change(id, ({ phase }) => (phase === WAITING_FOR_APPROVAL ? { delta: held } : undefined));
    },
    read: (executionId, known) => live.read(executionId, known),
    follow: (executionId, followOptions) => followRun(parts, executionId, followOptions),
    followSession: (followOptions) => followSession(parts, followOptions),
    followList: (followOptions) => followList(parts, followOptions),
    announce: (notice) => {
      const { kind, executionId } = notice;
      if (kind === "deleted") live.forget(executionId, deletedExecution(executionId));
      fanout.publish(notice);
    },
    metrics: () => ({
      state: fanout.state,
      subscriptions: fanout.subscriptions,
      pollsTotal: lookUps.pollsTotal,
      droppedTotal: fanout.droppedTotal,
    }),
    recover: async () => {
      for (const id of await store.executions.orphans()) {
        logger.warn({ executionId: id }, "a run was left without anyone to work on it");
        await end(id, {
          phase: ExecutionPhase.EXECUTION_FAILED,
          error: "The run was lost in a crash. Start it again.",
        });
      }
      for (const id of await store.executions.misplaced(RESTING)) await settle(id);
    },
    close: () => {
      closing.close(shuttingDown());
      lookUps.close();
    },
  };
}

const WAITING_FOR_APPROVAL = ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL;

/** The phases of a run that nobody works on until a person has said something. */
const RESTING: readonly [ExecutionPhase, ExecutionPhase] = [ExecutionPhase.EXECUTION_PAUSED, WAITING_FOR_APPROVAL];

type Outcome = Pick<Ending, "phase" | "error"> & Partial<Ending> & { readonly fence?: number };

/** How the engine says that a run ended; a status that is no end is a failure. */
function outcomeOf(status: AgentExecutionStatus | undefined): Outcome {
  if (status && isTerminal(status.phase)) {
    const { phase, error, startedAt, usage } = status;
    return { phase, error, startedAt, usage, ...(status.completedAt && { completedAt: status.completedAt }) };
  }
  const error = status?.error || "The runner gave up the run without a result. Start it again.";
  return { phase: ExecutionPhase.EXECUTION_FAILED, error };
}

function movedTo(phase: ExecutionPhase): StatusDelta {
  return create(StatusDeltaSchema, { changes: [{ change: { case: "run", value: { phase } } }] });
}

function movesRun({ change }: StatusChange): boolean {
  return change.case === "run" || change.case === "merged";
}

function restsByItself({ change }: StatusChange): boolean {
  return change.case === "run" && change.value.restsByItself && change.value.phase === ExecutionPhase.EXECUTION_PAUSED;
}

/** The phase of a run that goes on once somebody takes it. */
function unpaused(startedAt: string): ExecutionPhase {
  return startedAt === "" ? ExecutionPhase.EXECUTION_PENDING : ExecutionPhase.EXECUTION_IN_PROGRESS;
}

/** What of a reported status is the runner's to say. */
function reported(status: AgentExecutionStatus): AgentExecutionStatus {
  return create(AgentExecutionStatusSchema, {
    ...status,
    audit: undefined,
    revision: 0,
    callbackToken: new Uint8Array(),
  });
}
