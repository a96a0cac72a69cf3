import { create } from "@bufbuild/protobuf";
import {
  ExecutionPhase,
  StatusDeltaSchema,
  ToolCallStatus,
  type StatusChange,
  type StatusDelta,
} from "@stigmer/protos/agentexecution/v1";
import { mergeDeltas } from "@stigmer/status";
import { ClientError } from "./errors.ts";

export interface StatusSenderOptions {
  /** Sends one delta and resolves when the server has stored it. `sequence` counts this sender's deltas from 1; a repeat carries the same number. */
  readonly send: (delta: StatusDelta, sequence: number) => Promise<void>;
  /** So many `push`es make a delta leave at once. Default 10. */
  readonly flushEveryEvents?: number;
  /** Milliseconds that the first unsent change waits for company. Default 50. */
  readonly flushAfterMs?: number;
  /** Called once when the server refuses the fence: another runner has this execution now. */
  readonly onFenced?: (error: ClientError) => void;
  /** Called for each failed attempt; the delta is kept and tried again. */
  readonly onError?: (error: ClientError) => void;
}

/** Carries status changes to the server beside the agent's loop, which never waits for it. */
export interface StatusSender {
  /** Takes changes in order. Urgent ones leave at once: by default a phase, the first word of a message, a tool's start, a call that waits for approval. */
  push(changes: readonly StatusChange[], options?: { urgent?: boolean }): void;
  /**
   * Sends what is left and resolves when the server has acknowledged everything. Rejects with the last error when
   * `deadlineMs` passes first, or at once when the fence is refused.
   */
  finish(options: { deadlineMs: number }): Promise<void>;
  /** Drops what is unsent: the run is another runner's now. */
  abandon(): void;
}

const RETRY_FIRST_MS = 100;
const RETRY_MOST_MS = 2_000;

/** At most one request is in flight; what comes meanwhile is merged into a later one. A failed delta is sent again as it was. */
export function createStatusSender(options: StatusSenderOptions): StatusSender {
  const flushEvery = options.flushEveryEvents ?? 10;
  const flushAfterMs = options.flushAfterMs ?? 50;
  let unsent: StatusDelta[] = [];
  let timer: NodeJS.Timeout | undefined;
  /** What is unsent is to leave as soon as nothing is in flight. */
  let isDue = false;
  let sequence = 0;
  let sending: Promise<void> | undefined;
  let fenced: ClientError | undefined;
  let lastError: ClientError | undefined;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (unsent.length === 0 || fenced) return;
    isDue = sending !== undefined;
    if (isDue) return;
    // Merged once per request: pair by pair would go over the waiting text again and again.
    const delta = mergeDeltas(...unsent);
    unsent = [];
    sequence += 1;
    sending = deliver(delta, sequence).finally(() => {
      sending = undefined;
      // Else it waits for company as long as all does.
      if (isDue) flush();
    });
  }

  async function deliver(delta: StatusDelta, number: number): Promise<void> {
    for (let waitMs = RETRY_FIRST_MS; ; waitMs = Math.min(waitMs * 2, RETRY_MOST_MS)) {
      try {
        await options.send(delta, number);
        lastError = undefined;
        return;
      } catch (error) {
        lastError = ClientError.from(error, "status update");
        if (!isWorthRetrying(lastError)) {
          fenced = lastError;
          unsent = [];
          options.onFenced?.(lastError);
          return;
        }
        options.onError?.(lastError);
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        if (fenced) return;
      }
    }
  }

  return {
    push(changes, pushOptions) {
      if (changes.length === 0 || fenced) return;
      unsent.push(create(StatusDeltaSchema, { changes: [...changes] }));
      const urgent = pushOptions?.urgent ?? changes.some(isUrgent);
      if (urgent || unsent.length >= flushEvery) flush();
      else timer ??= setTimeout(flush, flushAfterMs);
    },
    async finish({ deadlineMs }) {
      flush();
      let deadline: NodeJS.Timeout | undefined;
      const expired = new Promise<"expired">((resolve) => {
        deadline = setTimeout(resolve, deadlineMs, "expired");
      });
      try {
        while (sending) {
          if ((await Promise.race([sending, expired])) === "expired") {
            fenced =
              lastError ??
              new ClientError("deadline-exceeded", `status update: not acknowledged within ${deadlineMs} ms`);
          }
          if (fenced) break;
        }
      } finally {
        clearTimeout(deadline);
      }
      if (fenced) throw fenced;
    },
    abandon() {
      fenced ??= new ClientError("cancelled", "status update: abandoned");
      unsent = [];
      clearTimeout(timer);
    },
  };
}

/** What a person who watches should see without delay. */
function isUrgent({ change }: StatusChange): boolean {
  if (change.case === "run") return change.value.phase !== ExecutionPhase.EXECUTION_PHASE_UNSPECIFIED;
  if (change.case === "textAppended") return change.value.offset === 0;
  if (change.case !== "toolCall") return false;
  const status = change.value.call?.status;
  return status === ToolCallStatus.TOOL_CALL_RUNNING || status === ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL;
}

/** The server, or the way to it, may be back in a moment; a refusal stays a refusal. */
function isWorthRetrying({ code }: ClientError): boolean {
  return code === "unavailable" || code === "deadline-exceeded" || code === "internal" || code === "cancelled";
}
