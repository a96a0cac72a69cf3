/** Durable execution as the server sees it. Drivers: `@stigmer/engine/embedded`. */
export interface Engine {
  readonly type: "embedded" | "temporal";

  /**
   * Makes sure that the execution gets run. Idempotent: started twice, it runs once; started after its end, nothing
   * happens. The caller's create transaction has stored the queue entry already, so a crash before this call loses
   * nothing: it only makes the start prompt.
   */
  start(executionId: string): Promise<void>;

  /**
   * Asks for the end of an execution. Resolves when the wish is stored, not when the run has stopped: a waiting
   * execution ends at once, a running one is told through its runner, also after either side restarted. Idempotent, the
   * first reason stays; without effect on an execution that is over or unknown.
   */
  cancel(executionId: string, reason: string): Promise<void>;

  /** Stops handing out work and drops the connections of runners; what they run goes on. Idempotent. */
  close(): Promise<void>;
}

/** Where a library of Stigmer says what it does. pino and the like fit as they are. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
