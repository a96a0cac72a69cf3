import { pino, type DestinationStream } from "pino";
import { activeTrace } from "./spans.ts";

/** Where a process and its libraries report: fields first, then the message. */
export interface JsonLogger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface JsonLoggerOptions {
  readonly level: "DEBUG" | "INFO" | "WARN" | "ERROR";
  /** Values that no line may show, whatever library wrote it. Default none. */
  readonly secrets?: readonly string[];
  /** Default: stderr, written at once. */
  readonly destination?: DestinationStream;
}

const MASK = "********";
// A shorter value would mask half the log, and protects nothing.
const SHORTEST_SECRET = 6;

/**
 * JSON lines, one an event, with the ids of the span under way when it is traced. Secrets are struck out of the finished line,
 * wherever they stand in it.
 */
export function createJsonLogger({ level, secrets = [], destination }: JsonLoggerOptions): JsonLogger {
  const out = destination ?? pino.destination({ dest: 2, sync: true });
  const hidden = secrets
    .filter((secret) => secret.length >= SHORTEST_SECRET)
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]);
  return pino(
    {
      level: level.toLowerCase(),
      base: undefined,
      mixin: () => activeTrace() ?? {},
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line) => void out.write(hidden.reduce((text, secret) => text.replaceAll(secret, MASK), line)) },
  );
}
