/** What went wrong at the boundary of an engine. */
export type EngineErrorCode =
  /** The lease now belongs to another runner, or to nobody: whoever asked has to stop. */
  | "lease-lost"
  /** The other side could not be reached. Asking again later may work. */
  | "unavailable"
  /** The other side refused for a reason that asking again does not change (authentication, another version). */
  | "refused"
  /** The server takes nothing from this runner any more: its key was revoked, has expired, or opens something else now. */
  | "turned-away"
  /** The engine or worker was closed before the call. */
  | "closed"
  | "invalid-argument";

const engineErrorBrand: unique symbol = Symbol.for("@stigmer/engine.EngineError") as never;

/** The one error class of this package. `message` says what happened, to which task, and what to do next. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly code: EngineErrorCode;

  constructor(code: EngineErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    Object.defineProperty(this, engineErrorBrand, { value: true });
  }

  /** Recognises errors of this package also from another copy of it, where `instanceof` would not. */
  static is(value: unknown): value is EngineError {
    return typeof value === "object" && value !== null && engineErrorBrand in value;
  }
}

/**
 * Why an activity has to stop before it is done.
 *
 * - `cancelled`: somebody asked for it. The activity stores CANCELLED and returns that status.
 * - `lease-lost`: another runner has the task, or will have it. Nothing may be written any more.
 * - `paused`: the run is at rest until somebody resumes it: asked for by `ActivityContext.pause`, or by the activity itself.
 * - `draining`: this runner shuts down and hands the task back; the next runner resumes it. The stored phase stays.
 */
export type ActivityStopKind = "cancelled" | "lease-lost" | "draining" | "paused";

const activityStopBrand: unique symbol = Symbol.for("@stigmer/engine.ActivityStop") as never;

/** The `reason` of {@link ActivityContext.signal}; an activity that hands its task back rethrows it. */
export class ActivityStop extends Error {
  override readonly name = "ActivityStop";
  readonly kind: ActivityStopKind;

  constructor(kind: ActivityStopKind, message: string) {
    super(message);
    this.kind = kind;
    Object.defineProperty(this, activityStopBrand, { value: true });
  }

  /** Recognises stops also from another copy of this package. */
  static is(value: unknown): value is ActivityStop {
    return typeof value === "object" && value !== null && activityStopBrand in value;
  }
}
