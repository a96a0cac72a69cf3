import { DEFAULT_ACTIVITY_QUEUE } from "@stigmer/engine";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { followUnheard } from "./executions/follow-unheard.ts";
import { readExecution } from "./executions/read-execution.ts";
import type { RunStatuses } from "./executions/run-statuses.ts";
import { settlePhases } from "./executions/settle-phases.ts";
import { traceQueue } from "./executions/trace-queue.ts";
import type { Fanout } from "./fanout/fanout.ts";
import type { Logger } from "./logger.ts";
import { type EngineChoice, openEngine, type OpenEngine } from "./open-engine.ts";
import type { Secrets } from "./secrets/secrets.ts";
import { giveThread } from "./services/session-threads.ts";
import type { Store } from "./store/store.ts";

/**
 * How long a runner on the server's own machine has to come back, in milliseconds. No network between them breaks: a connection that
 * ends has lost its runner, or is made again within a tenth of a second.
 */
const LOCAL_REATTACH_MS = 250;

export interface RecoverEngineOptions {
  readonly mode: "local" | "cloud";
  /** Default: the embedded one. */
  readonly engine?: EngineChoice | undefined;
  readonly fanout: Fanout;
  /** Where runners listen who are asked for no other. */
  readonly taskQueue?: string | undefined;
  readonly limits?: { readonly maxRuns?: number | undefined } | undefined;
}

interface EngineParts {
  readonly store: Store;
  readonly runs: RunStatuses;
  readonly secrets: Secrets;
  readonly logger: Logger;
}

/** The engine over what an earlier server left, made good first. */
export async function recoverEngine(options: RecoverEngineOptions, parts: EngineParts): Promise<OpenEngine> {
  const { store, runs, secrets, logger } = parts;
  await runs.recover();
  const following = { store, runs, taskQueue: options.taskQueue ?? DEFAULT_ACTIVITY_QUEUE, logger, clock: Date.now };
  return openEngine(patientAs(options), {
    queue: settlePhases({
      queue: traceQueue({
        queue: store.queue,
        executions: store.executions,
        engine: options.engine?.type ?? "embedded",
      }),
      runs,
      logger,
    }),
    loadExecution: async (executionId) => {
      const execution = await readExecution({ store, runs }, executionId);
      return execution && secrets.mask(execution);
    },
    threadOf: (sessionId) => giveThread(store, sessionId),
    onFinished: async ({ executionId, fence, status }) => {
      await runs.finish(executionId, fence, status);
      logger.info({ executionId, fence, phase: ExecutionPhase[status.phase] }, "run ended");
      await followUnheard(executionId, following);
    },
    onExhausted: async (executionId, message) => {
      await runs.fail(executionId, message);
      logger.info({ executionId, phase: "EXECUTION_FAILED", reason: "all attempts were lost" }, "run ended");
      await followUnheard(executionId, following);
    },
    maxRunsPerOrg: options.limits?.maxRuns,
    taskQueue: options.taskQueue,
    fanout: options.fanout,
    logger,
  });
}

function patientAs({ mode, engine = {} }: RecoverEngineOptions): EngineChoice {
  if (mode === "cloud" || engine.type === "temporal") return engine;
  return { ...engine, reattachMs: engine.reattachMs ?? LOCAL_REATTACH_MS };
}
