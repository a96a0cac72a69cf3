import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type BeginToolCallRequest,
  type BeginToolCallResponse,
  BeginToolCallResponseSchema,
  type FinishToolCallRequest,
  type FinishToolCallResponse,
  FinishToolCallResponseSchema,
  type ToolCallAnswer,
  ToolCallAnswerSchema,
  ToolCallClass,
  type ToolCallEntry,
} from "@stigmer/protos/runner/v1";
import { refusalError } from "../executions/refusals.ts";
import type { Closing } from "../executions/closing.ts";
import { wakeOnEnd } from "../executions/follow-run.ts";
import { createWaker } from "../executions/waker.ts";
import type { Logger } from "../logger.ts";
import type { Store } from "../store/store.ts";

export interface ToolCallsOptions {
  readonly store: Pick<Store, "ledger">;
  readonly logger: Logger;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly clock?: () => number;
}

export interface ToolCalls {
  beginToolCall(request: BeginToolCallRequest): Promise<BeginToolCallResponse>;
  finishToolCall(request: FinishToolCallRequest): Promise<FinishToolCallResponse>;
}

/** The ledger of tool calls, under the fences of their runs. */
export function createToolCalls({ store, logger, clock = Date.now }: ToolCallsOptions): ToolCalls {
  return {
    beginToolCall: async ({ executionId, fence, callKey, toolName, toolClass, requestId }) => {
      const answer = await store.ledger.begin({
        executionId,
        fence,
        callKey,
        toolName,
        toolClass: toolClass === ToolCallClass.REPEATABLE ? "repeatable" : "once",
        requestId,
        now: clock(),
      });
      switch (answer.kind) {
        case "started":
          return create(BeginToolCallResponseSchema, { outcome: { case: "started", value: {} } });
        case "recorded":
          return create(BeginToolCallResponseSchema, {
            outcome: { case: "recorded", value: { result: answer.result } },
          });
        case "unknown": {
          logger.warn({ executionId, fence, callKey, toolName }, "nobody knows whether a tool call happened");
          const begunAt = new Date(answer.begunAt).toISOString();
          return create(BeginToolCallResponseSchema, { outcome: { case: "unknown", value: { begunAt } } });
        }
        default:
          throw refusalError({ executionId, fence }, answer);
      }
    },

    finishToolCall: async ({ executionId, fence, callKey, result }) => {
      const answer = await store.ledger.finish({ executionId, fence, callKey, result });
      switch (answer.kind) {
        case "recorded":
          return create(FinishToolCallResponseSchema);
        case "not-begun":
          throw new ConnectError(
            `tool call ${callKey} of ${executionId} was not begun under fence ${fence}: begin it before it is run`,
            Code.FailedPrecondition,
          );
        case "given-up":
          throw new ConnectError(
            `tool call ${callKey} of ${executionId} was told to be of unknown outcome: its result comes too late`,
            Code.FailedPrecondition,
          );
        default:
          throw refusalError({ executionId, fence }, answer);
      }
    },
  };
}

/** Entries of a stream that are worked on at a time: enough for a run's parallel tool calls, and a burst waits its turn. */
const MOST_AT_A_TIME = 32;

export interface AnswerEntriesOptions {
  readonly calls: ToolCalls;
  /** Of the stream. */
  readonly signal: AbortSignal;
  readonly closing: Closing;
}

/**
 * Answers each entry of a stream as soon as it is stored, in whichever order. Ends with the entries; with an error that is no
 * refusal of one of them; and when the server closes, as soon as what is under way has been answered.
 */
export async function* answerEntries(
  entries: AsyncIterable<ToolCallEntry>,
  { calls, signal, closing }: AnswerEntriesOptions,
): AsyncGenerator<ToolCallAnswer> {
  const waker = createWaker();
  const stopListening = wakeOnEnd(waker.wake, { signal, closing });
  const answers: ToolCallAnswer[] = [];
  const working = new Set<Promise<void>>();
  let end: { readonly error?: unknown } | undefined;

  const take = async ({ number, entry }: ToolCallEntry): Promise<void> => {
    try {
      answers.push(create(ToolCallAnswerSchema, { number, answer: await answerOf(entry, calls) }));
    } catch (error) {
      end = { error };
    }
  };
  const read = async (): Promise<void> => {
    for await (const entry of entries) {
      const work = take(entry).finally(() => {
        working.delete(work);
        waker.wake();
      });
      working.add(work);
      if (working.size >= MOST_AT_A_TIME) await Promise.race(working);
    }
  };
  const ended = (how: { readonly error?: unknown }): void => {
    end ??= how;
    waker.wake();
  };
  read().then(
    () => ended({}),
    (error: unknown) => ended({ error }),
  );

  try {
    while (!signal.aborted) {
      const answer = answers.shift();
      if (answer) {
        yield answer;
      } else if (working.size > 0) {
        await waker.sleep();
      } else {
        closing.throwIfClosed();
        if (end && "error" in end) throw end.error;
        if (end) return;
        await waker.sleep();
      }
    }
  } finally {
    stopListening();
  }
}

async function answerOf(entry: ToolCallEntry["entry"], calls: ToolCalls): Promise<ToolCallAnswer["answer"]> {
  try {
    switch (entry.case) {
      case "begin":
        return { case: "begun", value: await calls.beginToolCall(entry.value) };
      case "finish":
        return { case: "finished", value: await calls.finishToolCall(entry.value) };
      case undefined:
        throw new ConnectError("entry: value is required", Code.InvalidArgument);
    }
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    const { code, rawMessage: message } = error;
    return { case: "refused", value: { $typeName: "ai.stigmer.agentic.runner.v1.ToolCallRefused", code, message } };
  }
}
