/**
 * Why a store did not do what it was asked to. `too-large`: a value is longer than the store can find it by. `disk-full` and
 * `unavailable` are the machine's doing and may pass: the call is stored whole or, mostly, not at all (where the way to the store
 * broke while it said which, nobody knows), and the next one may succeed. Everything else that a store throws is a defect.
 */
export type StoreErrorCode = "already-exists" | "conflict" | "closed" | "too-large" | "disk-full" | "unavailable";

const brand: unique symbol = Symbol.for("@stigmer/server.StoreError") as never;

/** A call that a store refuses, or that its machine does not let it do; the transaction that it happened in is rolled back. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    Object.defineProperty(this, brand, { value: true });
  }

  static is(value: unknown): value is StoreError {
    return typeof value === "object" && value !== null && brand in value;
  }
}
