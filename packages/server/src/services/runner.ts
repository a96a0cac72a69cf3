import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { type EndedLease, type Engine, OLDEST_RUNNER_PROTOCOL, RUNNER_PROTOCOL } from "@stigmer/engine";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { EnsureThreadResponseSchema, HelloResponseSchema, type RunnerController } from "@stigmer/protos/runner/v1";
import type { Closing } from "../executions/closing.ts";
import type { RunStatuses } from "../executions/run-statuses.ts";
import type { Logger } from "../logger.ts";
import type { Store } from "../store/store.ts";
import { createRunStreams, type EntryObserver } from "./run-entries.ts";
import { createToolCalls } from "./tool-calls.ts";
import type { Services } from "./create-services.ts";
import { createSessionThreads } from "./session-threads.ts";

export interface RunnerServiceOptions {
  readonly store: Pick<Store, "ledger" | "transaction">;
  readonly runs: Pick<RunStatuses, "patch" | "patchToEnd">;
  readonly engine: Pick<Engine, "type" | "runnerService" | "leaseEnded">;
  /** As `createServices` made them, from what it registers. */
  readonly services: Pick<Services, "resolveRun" | "rememberSandbox" | "leasesWithParts">;
  /** The server's version, for people. */
  readonly version: string;
  readonly logger: Logger;
  /** Ends the streams of runners that stay open. */
  readonly closing: Closing;
  /** Default: nothing is observed. */
  readonly observeEntry?: EntryObserver | undefined;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly clock?: () => number;
}

/** What runners call: the engine's part, and what is the same under every engine. What neither has is UNIMPLEMENTED. */
export function createRunnerService(options: RunnerServiceOptions): Partial<ServiceImpl<typeof RunnerController>> {
  const { store, runs, engine, services, version, logger, closing, observeEntry, clock = Date.now } = options;
  const toolCalls = createToolCalls(options);
  const threads = createSessionThreads(store);
  const { takeLeases, ...rest } = engine.runnerService;
  const { leaseEnded } = engine;
  const { rememberSandbox } = services;
  const onLeaseEnded =
    leaseEnded &&
    ((lease: EndedLease, phase: ExecutionPhase): void => {
      const { executionId, fence } = lease;
      logger.info({ executionId, fence, phase: ExecutionPhase[phase] }, "run ended");
      leaseEnded(lease);
    });
  return {
    ...rest,
    ...(takeLeases && { takeLeases: services.leasesWithParts(takeLeases) }),
    ...toolCalls,
    ...createRunStreams({ toolCalls, runs, rememberSandbox, onLeaseEnded, closing, observe: observeEntry }),

    ensureThread: async ({ sessionId }) =>
      create(EnsureThreadResponseSchema, { threadId: await threads.ensure(sessionId) }),

    resolveRun: services.resolveRun,

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
