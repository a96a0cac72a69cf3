/**
 * What went wrong. The `scenario-…` codes come from loading and checking a scenario file; the others answer a request
 * and reach the client as an HTTP error of its own protocol.
 */
export type ScriptedModelErrorCode =
  | "scenario-unreadable"
  | "scenario-invalid"
  | "host-not-loopback"
  | "bad-request"
  | "no-credentials"
  | "not-found"
  | "body-too-large"
  | "no-scenario-matches"
  | "past-the-last-turn"
  | "template-found-nothing";

/** One fault of a scenario file. */
export interface ScenarioProblem {
  /** The field, as `scenarios[0].turns[2].toolCalls[0].args.command`; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
  /** Counted from 1; absent when the scenario was given as an object. */
  readonly line?: number;
  readonly column?: number;
}

const brand: unique symbol = Symbol.for("@stigmer/scripted-model.ScriptedModelError") as never;

/** The one error class of this package. `message` says what happened, to which file or turn, and what to do next. */
export class ScriptedModelError extends Error {
  override readonly name = "ScriptedModelError";
  readonly code: ScriptedModelErrorCode;
  /** Every fault of the file, in the order of its lines; empty unless `code` is `scenario-invalid`. */
  readonly problems: readonly ScenarioProblem[];

  constructor(
    code: ScriptedModelErrorCode,
    message: string,
    options?: { problems?: readonly ScenarioProblem[]; cause?: unknown },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.problems = options?.problems ?? [];
    Object.defineProperty(this, brand, { value: true });
  }

  /** Recognises errors of this package also from another copy of it, where `instanceof` would not. */
  static is(value: unknown): value is ScriptedModelError {
    return typeof value === "object" && value !== null && brand in value;
  }
}
