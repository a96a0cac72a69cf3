/** What a store refuses. Everything else that a store throws is a fault of the machine. */
export type StoreErrorCode = "already-exists" | "conflict" | "closed";

const brand: unique symbol = Symbol.for("@stigmer/server.StoreError") as never;

/** A write that the store's own rules refuse; the transaction that it happened in is rolled back. */
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
