import type { IncomingMessage } from "node:http";

/** What the server saw and did with one request. */
export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  /** Credentials are replaced by `<redacted>`. */
  readonly headers: Readonly<Record<string, string>>;
  /** The parsed JSON body; undefined when there was none or it did not parse. */
  readonly body: unknown;
  /** Name of the scenario that answered, and the index of its turn. */
  readonly scenario: string | undefined;
  readonly turn: number | undefined;
  /** HTTP status sent; undefined while none is. */
  readonly status: number | undefined;
  /** `cut`: by the scenario, in whichever way. `abandoned`: the client closed the connection, or the server was closed. */
  readonly outcome: "open" | "answered" | "failed" | "cut" | "abandoned";
}

/** The record while its request lives. */
export type OpenRecord = { -readonly [Key in keyof RecordedRequest]: RecordedRequest[Key] };

const secretHeaders = new Set(["x-api-key", "authorization", "cookie"]);

/** Keeps the newest `limit` records, oldest first. */
export function createRequestLog(limit: number): {
  readonly entries: RecordedRequest[];
  open(request: IncomingMessage, path: string): OpenRecord;
} {
  const entries: RecordedRequest[] = [];
  return {
    entries,
    open(request, path) {
      const headers = Object.entries(request.headers).map(([name, value]) => [
        name,
        secretHeaders.has(name) ? "<redacted>" : String(value),
      ]);
      const record: OpenRecord = {
        method: request.method ?? "GET",
        path,
        headers: Object.fromEntries(headers) as Record<string, string>,
        body: undefined,
        scenario: undefined,
        turn: undefined,
        status: undefined,
        outcome: "open",
      };
      entries.push(record);
      if (entries.length > limit) entries.shift();
      return record;
    },
  };
}
