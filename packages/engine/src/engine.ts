import type { ServiceImpl } from "@connectrpc/connect";
import type { InboxItem, RunnerController } from "@stigmer/protos/runner/v1";

/** Durable execution as the server sees it. Drivers: `@stigmer/engine/embedded`, `@stigmer/engine/temporal`. */
export interface Engine {
  readonly type: "embedded" | "temporal";

  /** The engine's part of what runners call. The server adds it to its router, beside its own part. */
  readonly runnerService: EngineRunnerService;

  /**
   * Makes sure that the execution gets run. Idempotent: started twice, it runs once; started after its end, nothing
   * happens. The caller's create transaction has stored the queue entry already, so a crash before this call loses
   * nothing: it only makes the start prompt. Who knows whose execution it is says so: one of an organization that has as many in
   * work as may be is not looked for.
   */
  start(executionId: string, whose?: { readonly org: string }): Promise<void>;

  /**
   * To be told of an execution of this organization whose create transaction was asked for in this moment: where the store commits
   * together what is asked for at one moment, a free runner's lease of it is part of that commit. It promises nothing: `start` follows
   * when the transaction is done, and nothing has to when it fails. Never throws. Undefined: it would gain nothing.
   */
  readonly expect?: (whose: { readonly org: string }) => void;

  /**
   * Asks for the end of an execution. Resolves when the wish is stored, not when the run has stopped: a waiting
   * execution ends at once, a running one is told through its runner, also after either side restarted. Idempotent, the
   * first reason stays; without effect on an execution that is over or unknown.
   */
  cancel(executionId: string, reason: string): Promise<void>;

  /**
   * Asks an execution to come to rest. Resolves when the wish is stored: what waits is not begun any more, what runs is told
   * through its runner and comes to rest where nothing is half done. Idempotent, the first reason stays.
   */
  pause(executionId: string, reason: string): Promise<Standing>;

  /** Lets an execution go on that was asked to pause or paused itself. Idempotent. */
  resume(executionId: string): Promise<Standing>;

  /**
   * Sends something to an execution. Resolves when it is stored: from then on it reaches every attempt, also past a crash
   * of either side. An id that was sent before changes nothing.
   */
  deliver(executionId: string, item: InboxItem): Promise<Standing>;

  /**
   * To be told of a lease that the store has ended by itself, in the step in which it stored the end of its run: the engine lets go of
   * it, and has room for another. Nothing is lost with a call that a crash comes before; repeated, it changes nothing. Undefined: leases
   * end by what a runner tells the engine, and by nothing else.
   */
  readonly leaseEnded?: (lease: EndedLease) => void;

  /** Stops handing out work and drops the connections of runners; what they run goes on. Idempotent. */
  close(): Promise<void>;
}

export interface EndedLease {
  readonly executionId: string;
  readonly fence: number;
  /** Whose it was. */
  readonly runnerId: string;
}

/** Where an execution stood when something was asked of it. `over` also when it is unknown: then nothing was done. */
export type Standing = "waiting" | "running" | "over";

/** What of `RunnerController` an engine answers; the rest of it is the server's. What it leaves out is UNIMPLEMENTED. */
export type EngineRunnerService = Partial<
  Pick<
    ServiceImpl<typeof RunnerController>,
    "takeLeases" | "heartbeat" | "completeLease" | "releaseLease" | "claimExecution" | "checkExecution"
  >
>;

/** Where a library of Stigmer says what it does. pino and the like fit as they are. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
