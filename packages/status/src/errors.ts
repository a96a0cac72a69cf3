/**
 * - `text-gap`: an append starts behind the end of its row's text; an earlier delta is missing.
 * - `text-boundary`: an append starts inside a character.
 * - `unknown-row`: a change speaks of a row that the status does not have.
 */
export type StatusErrorCode = "text-gap" | "text-boundary" | "unknown-row";

const brand: unique symbol = Symbol.for("@stigmer/status.StatusError") as never;

/** A delta does not continue the status that it is applied to. Nothing of it was applied. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly code: StatusErrorCode;

  constructor(code: StatusErrorCode, message: string) {
    super(message);
    this.code = code;
    Object.defineProperty(this, brand, { value: true });
  }

  /** Recognises errors of this package also from another copy of it, where `instanceof` would not. */
  static is(value: unknown): value is StatusError {
    return typeof value === "object" && value !== null && brand in value;
  }
}
