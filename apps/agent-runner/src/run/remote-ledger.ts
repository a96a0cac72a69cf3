import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ToolCallIntent, ToolCallLedger, ToolCallStart } from "@stigmer/agent";
import { ClientError, type RunRecord } from "@stigmer/client";
import { ActivityStop } from "@stigmer/engine";
import { ToolCallClass } from "@stigmer/protos/runner/v1";
import type { JsonLogger as Logger } from "@stigmer/telemetry";
import { RunError } from "./run-error.ts";

export interface RemoteLedgerOptions {
  readonly record: Pick<RunRecord, "beginToolCall" | "finishToolCall">;
  readonly executionId: string;
  /** 0: the server knows no fences, so it has no ledger either. */
  readonly fence: number;
  /** The run's. While it stands, a server that is away is waited for. */
  readonly signal: AbortSignal;
  /** Takes the secrets of the run's environment out of a result before it leaves this process. */
  readonly mask: (result: Uint8Array) => Uint8Array;
  /** Called when the server refuses the fence: another runner has this run now. */
  readonly onFenced: (stop: ActivityStop) => void;
  /** Called when the result of a call is stored: no later attempt makes it again. */
  readonly onFinished: () => void;
  /** The ledger of this machine, for a server of before: on one machine no effect is repeated with it either. */
  readonly local: ToolCallLedger;
  readonly logger: Logger;
  /** Milliseconds until the first repetition; doubles up to 20 times as much. Default 100. */
  readonly retryMs?: number;
}

const TOOL_CLASSES = { repeatable: ToolCallClass.REPEATABLE, once: ToolCallClass.ONCE } as const;
// A run that was told to stop still writes down what has happened, but not for long.
const LAST_WORD_MS = 3_000;

/**
 * The ledger that the server keeps, under the fence of one run. Begin and finish resolve when the server has stored them; they
 * reject with the `ActivityStop` of a lost lease when the fence is old, and with the signal's reason when it aborts the waiting.
 */
export function createRemoteLedger(options: RemoteLedgerOptions): ToolCallLedger {
  const { record, executionId, fence, logger, retryMs = 100 } = options;
  /** What was begun, to take it over when the server turns out to have no ledger (any more). */
  const intents = new Map<string, ToolCallIntent>();
  let local = fence === 0 ? options.local : undefined;

  /** `undefined`: the server has no ledger. */
  async function ask<T>(call: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    for (let waitMs = retryMs; ; waitMs = Math.min(waitMs * 2, retryMs * 20)) {
      signal.throwIfAborted();
      try {
        return await call(signal);
      } catch (cause) {
        signal.throwIfAborted();
        const error = ClientError.from(cause, `ledger of execution ${executionId}`);
        if (error.code === "failed-precondition") throw fenced(error);
        if (error.code === "unimplemented") return undefined;
        if (!isTemporary(error)) throw new RunError(error.message, { cause });
        logger.warn({ executionId, fence, err: error }, "the ledger is away, trying again");
        await sleep(waitMs, undefined, { signal }).catch(() => {});
      }
    }
  }

  function fenced(error: ClientError): ActivityStop {
    const stop = new ActivityStop("lease-lost", error.message);
    options.onFenced(stop);
    return stop;
  }

  function useLocal(): ToolCallLedger {
    if (!local) logger.warn({ executionId }, "the server keeps no ledger; this machine's is used");
    return (local = options.local);
  }

  return {
    async begin(intent, signal) {
      const { callKey, toolName, toolClass } = intent;
      if (local) return local.begin(intent, signal);
      const request = {
        executionId,
        fence,
        callKey,
        toolName,
        toolClass: TOOL_CLASSES[toolClass],
        requestId: randomUUID(),
      };
      const outcome = await ask((abort) => record.beginToolCall(request, abort), either(options.signal, signal));
      if (!outcome) return useLocal().begin(intent, signal);
      const start = startOf(outcome, callKey);
      if (start.kind === "started") intents.set(callKey, intent);
      return start;
    },

    async finish(callKey, result, signal) {
      const masked = options.mask(result);
      const intent = intents.get(callKey);
      if (intent || !local) {
        const toolClass = intent && TOOL_CLASSES[intent.toolClass];
        const request = { executionId, fence, callKey, result: masked, toolClass };
        // The effect has happened, whatever was asked of the run since: there is time to say so.
        const done = await outlasting(either(options.signal, signal), (lasting) =>
          ask(async (abort) => {
            await record.finishToolCall(request, abort);
            return true;
          }, lasting),
        );
        intents.delete(callKey);
        if (done) return options.onFinished();
      }
      const ledger = useLocal();
      if (intent) await ledger.begin(intent);
      await ledger.finish(callKey, masked, signal);
      options.onFinished();
    },
  };
}

type Outcome = NonNullable<Awaited<ReturnType<RunRecord["beginToolCall"]>>>;

function startOf(outcome: Outcome, callKey: string): ToolCallStart {
  switch (outcome.case) {
    case "started":
      return { kind: "started" };
    case "recorded":
      return { kind: "recorded", result: outcome.value.result };
    case "unknown":
      return { kind: "outcome-unknown", begunAt: outcome.value.begunAt };
    case undefined:
      throw new RunError(
        `tool call ${callKey}: the server's ledger answered what this runner does not know; upgrade the runner`,
      );
  }
}

function either(run: AbortSignal, call: AbortSignal | undefined): AbortSignal {
  return call ? AbortSignal.any([run, call]) : run;
}

/** Gives the work a signal that aborts as the given one does, only later. */
async function outlasting<T>(signal: AbortSignal, work: (lasting: AbortSignal) => Promise<T>): Promise<T> {
  const later = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const wait = (): void => {
    timer = setTimeout(() => later.abort(signal.reason), LAST_WORD_MS);
  };
  if (signal.aborted) wait();
  else signal.addEventListener("abort", wait, { once: true });
  try {
    return await work(later.signal);
  } finally {
    signal.removeEventListener("abort", wait);
    clearTimeout(timer);
  }
}

/** The server, or the way to it, may be back in a moment; a refusal stays a refusal. */
function isTemporary({ code }: ClientError): boolean {
  return code === "unavailable" || code === "deadline-exceeded" || code === "internal" || code === "cancelled";
}
