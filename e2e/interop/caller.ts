/** What a call answers, in the words of proto JSON. */
export type Answer = Readonly<Record<string, unknown>>;

/** A client of some make, shown to the server with a valid key. */
export interface Caller {
  /** `method` is `package.Service/method`. Rejects with a `CallFailure`. */
  call(method: string, request: object): Promise<Answer>;
  /** Answers of a server stream as they come. Who leaves the loop cancels the call. */
  stream(method: string, request: object): AsyncGenerator<Answer, void, void>;
  /** Whether both sides can speak at once. HTTP/1.1 has no such streams. */
  readonly duplex: boolean;
  close(): void;
}

/** An answer that is no success, whatever the client calls it. */
export class CallFailure extends Error {
  override readonly name = "CallFailure";
  /** As gRPC writes it: `NOT_FOUND`. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** gRPC's status codes by number. */
export const CODES: readonly string[] = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

/** What stands at a path, as `metadata.id`; throws where there is nothing. */
export function at(answer: unknown, path: string): string {
  const value = path
    .split(".")
    .reduce<unknown>((within, name) => (within as Record<string, unknown> | undefined)?.[name], answer);
  if (typeof value === "string" && value !== "") return value;
  throw new Error(`There is no ${path} in ${JSON.stringify(answer)}.`);
}

export const idOf = (resource: unknown): string => at(resource, "metadata.id");
