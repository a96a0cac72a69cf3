/** What Postgres, or the way to it, found in the way. https://www.postgresql.org/docs/current/errcodes-appendix.html */
export type PostgresTrouble =
  /** Somebody else was quicker: the same work can be done again. */
  | "repeatable"
  /** Nobody can say what became of the work; the connection is of no use any more, others may be. */
  | "disconnected"
  /** Postgres answers, and can't work at the moment. */
  | "overloaded"
  | "disk-full"
  | "taken"
  /** A value that an index can't hold. */
  | "too-large";

const STATES: Readonly<Record<string, PostgresTrouble>> = {
  "40001": "repeatable",
  "40P01": "repeatable",
  "23505": "taken",
  "53100": "disk-full",
  "54000": "too-large",
  // Idle in a transaction for too long.
  "25P03": "disconnected",
  // It became a standby.
  "25006": "disconnected",
  // The statement took too long.
  "57014": "overloaded",
  "57P01": "disconnected",
  "57P02": "disconnected",
  "57P03": "disconnected",
  "57P04": "disconnected",
  "57P05": "disconnected",
};

const CLASSES: Readonly<Record<string, PostgresTrouble>> = {
  "08": "disconnected",
  // A changed password, a dropped database.
  "28": "disconnected",
  "3D": "disconnected",
  // Disk, memory, connections.
  "53": "overloaded",
  // Its operating system, or itself.
  "58": "overloaded",
};

/** `pg` has no codes for these. */
const LOST =
  /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client (was closed|has encountered a connection error))/;

/** Undefined when the error is of another kind. */
export function troubleOf(error: unknown): PostgresTrouble | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (isState(code)) return STATES[code] ?? CLASSES[code.slice(0, 2)];
  // Of the operating system: refused, reset, unknown host. Several addresses of one host make one error of several.
  const systems = syscall !== undefined || error instanceof AggregateError || /^E[A-Z]+$/.test(code ?? "");
  return systems || LOST.test(error.message) ? "disconnected" : undefined;
}

/** Whether it is one of SQL's codes. */
export function isState(code: unknown): code is string {
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) && /\d/.test(code);
}
