const brand: unique symbol = Symbol.for("@stigmer/server.SecretsError") as never;

/** A secret could not be sealed or opened, or the key file is unusable. Never carries the value. */
export class SecretsError extends Error {
  override readonly name = "SecretsError";

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    Object.defineProperty(this, brand, { value: true });
  }

  static is(value: unknown): value is SecretsError {
    return typeof value === "object" && value !== null && brand in value;
  }
}
