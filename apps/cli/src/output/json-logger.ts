import { activeTrace } from "@stigmer/telemetry";
import { pino } from "pino";
import type { OutputStream } from "../command-io.ts";

/** Where the server reports: fields first, then the message. */
export interface JsonLogger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** JSON lines, one an event, with the ids of the span under way when it is traced. */
export function createJsonLogger(stream: OutputStream, level: "DEBUG" | "INFO" | "WARN" | "ERROR"): JsonLogger {
  return pino(
    {
      level: level.toLowerCase(),
      base: undefined,
      mixin: () => activeTrace() ?? {},
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
}
