import { IllegalStateError, type LogLevel, type LogMetadata } from "@temporalio/common";
import { Runtime } from "@temporalio/worker";
import type { Logger } from "../engine.ts";

let installed = false;

/**
 * Gives Temporal's runtime, of which a process has one, our logger, and takes the handling of signals from it: who runs the
 * process drains it. The first logger stays. A runtime that the process has set up by itself is left as it is.
 *
 * What Temporal says about itself is for who looks for it (`debug`): a server that is away would fill a log with the same
 * line. What matters of it, engine and worker say themselves, once.
 */
export function quietRuntime(logger: Logger): void {
  if (installed) return;
  installed = true;
  const say = (level: LogLevel, message: string, fields: LogMetadata = {}): void => {
    if (level === "ERROR") logger.warn({ ...fields }, message);
    else logger.debug({ ...fields }, message);
  };
  try {
    Runtime.install({
      shutdownSignals: [],
      telemetryOptions: { logging: { filter: { core: "WARN", other: "ERROR" }, forward: {} } },
      logger: {
        log: say,
        trace: (message, fields) => say("TRACE", message, fields),
        debug: (message, fields) => say("DEBUG", message, fields),
        info: (message, fields) => say("INFO", message, fields),
        warn: (message, fields) => say("WARN", message, fields),
        error: (message, fields) => say("ERROR", message, fields),
      },
    });
  } catch (error) {
    if (!(error instanceof IllegalStateError)) throw error;
  }
}
