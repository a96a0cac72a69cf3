const brand: unique symbol = Symbol.for("@stigmer/agent-runner.RunError") as never;

/** Why a run can't be done. The message names the thing and the field, and becomes the execution's `error`. */
export class RunError extends Error {
  override readonly name = "RunError";

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    Object.defineProperty(this, brand, { value: true });
  }

  static is(value: unknown): value is RunError {
    return typeof value === "object" && value !== null && brand in value;
  }
}
