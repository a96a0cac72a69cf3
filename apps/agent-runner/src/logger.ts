import { activeTrace } from "@stigmer/telemetry";
import { pino, type DestinationStream } from "pino";

/** Where the runner and its libraries report: fields first, then the message. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface LoggerOptions {
  readonly level: "DEBUG" | "INFO" | "WARN" | "ERROR";
  /** Values that no line may show, whatever library wrote it. */
  readonly secrets: readonly string[];
  readonly destination?: DestinationStream;
}

const MASK = "********";
// A shorter value would mask half the log, and protects nothing.
const SHORTEST_SECRET = 6;

/** JSON lines on stderr, one an event, with the ids of the span under way when it is traced. Secrets are struck out of the finished line, wherever they stand in it. */
export function createLogger({ level, secrets, destination }: LoggerOptions): Logger {
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
