/** Why a command did not do what it was asked to, as far as a script can act upon it. */
export type CliErrorCode = "failed" | "usage" | "cancelled" | "waiting-for-approval" | "interrupted";

/** What the process ends with. `interrupted` is what a shell expects of a program that Ctrl-C ended: 128 + SIGINT. */
export const exitCodes: Readonly<Record<CliErrorCode, number>> = {
  failed: 1,
  usage: 2,
  cancelled: 3,
  "waiting-for-approval": 4,
  interrupted: 130,
};

/** Every exit code, as help and documentation tell it. */
export const exitCodeMeanings: readonly (readonly [code: number, meaning: string])[] = [
  [0, "done; of a run: completed"],
  [exitCodes.failed, "failed"],
  [exitCodes.usage, "wrong usage"],
  [exitCodes.cancelled, "the run was cancelled"],
  [exitCodes["waiting-for-approval"], "the run waits for approval, and there is no terminal to ask on"],
  [exitCodes.interrupted, "Ctrl-C"],
];

const brand: unique symbol = Symbol.for("@stigmer/cli.CliError") as never;

/** The one error that reaches people as it is: `message` says in plain words what happened and what to do next. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly code: CliErrorCode;

  constructor(code: CliErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    Object.defineProperty(this, brand, { value: true });
  }

  get exitCode(): number {
    return exitCodes[this.code];
  }

  /** Recognises errors of this package also from another copy of it, where `instanceof` would not. */
  static is(value: unknown): value is CliError {
    return typeof value === "object" && value !== null && brand in value;
  }
}
