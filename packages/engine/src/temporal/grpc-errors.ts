/** Those of gRPC's status codes that decide what to do next. */
export const GRPC = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** The gRPC code of an error, or of what caused it: Temporal's client wraps the calls' errors. Undefined when there is none. */
export function errorCode(error: unknown): number | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ("code" in cause && typeof cause.code === "number") return cause.code;
  }
  return undefined;
}

/** Temporal, or the way to it, is away or still starting: asking again later may work. */
export function isAway(error: unknown): boolean {
  const code = errorCode(error);
  return code === GRPC.unavailable || code === GRPC.deadlineExceeded;
}

/** Temporal is there, and has more to do than it wants. */
export function isOverloaded(error: unknown): boolean {
  return errorCode(error) === GRPC.resourceExhausted;
}

/** What an error says at its root, in one line and without the debug form of its wrappers. */
export function errorText(error: unknown): string {
  let root = error;
  while (root instanceof Error && root.cause instanceof Error) root = root.cause;
  const text = root instanceof Error ? root.message : String(root);
  const known =
    /message: "([^"]+)"/.exec(text)?.[1] ?? /error: "([^"]+)"/.exec(text)?.[1] ?? /\b(E[A-Z]{5,})\b/.exec(text)?.[1];
  return (known ?? text)
    .replaceAll(/\s+/g, " ")
    .replace(/^\d+ [A-Z_]+: /, "")
    .trim();
}
