import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type BeginToolCallRequest,
  type BeginToolCallResponse,
  BeginToolCallResponseSchema,
  type FinishToolCallRequest,
  type FinishToolCallResponse,
  FinishToolCallResponseSchema,
  ToolCallClass,
} from "@stigmer/protos/runner/v1";
import { refusalError } from "../executions/refusals.ts";
import type { Logger } from "../logger.ts";
import type { ToolCallClass as StoredClass } from "../store/ledger-store.ts";
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
        toolClass: classOf(toolClass),
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

    finishToolCall: async ({ executionId, fence, callKey, result, toolClass }) => {
      const answer = await store.ledger.finish({
        executionId,
        fence,
        callKey,
        result,
        toolClass: classOf(toolClass),
      });
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

/** What is not said is not repeatable. */
function classOf(given: ToolCallClass): StoredClass {
  return given === ToolCallClass.REPEATABLE ? "repeatable" : "once";
}
