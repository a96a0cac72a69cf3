import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { type Engine, OLDEST_RUNNER_PROTOCOL, RUNNER_PROTOCOL } from "@stigmer/engine";
import {
  BeginToolCallResponseSchema,
  FinishToolCallResponseSchema,
  HelloResponseSchema,
  type RunnerController,
  ToolCallClass,
} from "@stigmer/protos/runner/v1";
import { refusalError } from "../executions/refusals.ts";
import type { Logger } from "../logger.ts";
import type { Store } from "../store/store.ts";
import { createEnsureThread } from "./session-threads.ts";

export interface RunnerServiceOptions {
  readonly store: Pick<Store, "ledger" | "transaction">;
  readonly engine: Pick<Engine, "type" | "runnerService">;
  /** The server's version, for people. */
  readonly version: string;
  readonly logger: Logger;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly clock?: () => number;
}

/** What runners call: the engine's part, and what is the same under every engine. What neither has is UNIMPLEMENTED. */
export function createRunnerService(options: RunnerServiceOptions): Partial<ServiceImpl<typeof RunnerController>> {
  const { store, engine, version, logger, clock = Date.now } = options;
  return {
    ...engine.runnerService,

    ensureThread: createEnsureThread(store),

    hello: (request) => {
      refuseForeignProtocol(request, version);
      logger.info({ runnerId: request.runnerId, version: request.version }, "a runner said hello");
      return create(HelloResponseSchema, {
        version,
        protocol: RUNNER_PROTOCOL,
        oldestProtocol: OLDEST_RUNNER_PROTOCOL,
        time: new Date(clock()).toISOString(),
        engine: engine.type,
      });
    },

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

function refuseForeignProtocol(runner: { readonly version: string; readonly protocol: number }, version: string): void {
  const { protocol } = runner;
  if (protocol >= OLDEST_RUNNER_PROTOCOL && protocol <= RUNNER_PROTOCOL) return;
  const spoken =
    OLDEST_RUNNER_PROTOCOL === RUNNER_PROTOCOL
      ? `protocol ${RUNNER_PROTOCOL}`
      : `protocols ${OLDEST_RUNNER_PROTOCOL} to ${RUNNER_PROTOCOL}`;
  const older = protocol < OLDEST_RUNNER_PROTOCOL ? "runner" : "server";
  throw new ConnectError(
    `runner ${runner.version || "of unknown version"} speaks protocol ${protocol}, server ${version} ${spoken}: upgrade the ${older}`,
    Code.FailedPrecondition,
  );
}
