import { isMessage } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  type AgentExecution,
  AgentExecutionSchema,
  type AgentExecutionStatus,
} from "@stigmer/protos/agentexecution/v1";
import type { RunnerController } from "@stigmer/protos/runner/v1";
import { ACTIVITY_NAMES } from "../contract.ts";
import type { EngineError } from "../errors.ts";
import type { ReceivedAttempt } from "./attempt-header.ts";
import { attempt, type AttemptOptions } from "./attempt.ts";
import type { TemporalWorkerSettings } from "./create-temporal-worker.ts";
import { refusedFailure } from "./failures.ts";
import { messageOf } from "./payload-converter.ts";
import type { CleanupContext } from "./workflow-contract.ts";

export interface ActivityCallsOptions extends TemporalWorkerSettings {
  readonly server: Client<typeof RunnerController>;
  /** Aborted, with an `ActivityStop` `draining`, when what is in flight should come to rest, to be handed back. */
  readonly resting: AbortSignal;
  /** Aborted, with the same, when what is in flight has to be handed back as it is. */
  readonly leaving: AbortSignal;
  readonly stopGraceMs: number;
  /** Called when the server turns this runner away. What is in flight has to be handed back then, and nothing more be taken. */
  onTurnedAway(error: EngineError): void;
}

/** What Temporal's worker calls. The last argument of each is from a header, and there for workflows of any origin. */
export interface ActivityCalls {
  readonly activities: {
    [ACTIVITY_NAMES.ensureThread](sessionId: unknown, agentId: unknown, attempt: ReceivedAttempt): Promise<string>;
    [ACTIVITY_NAMES.executeGraphton](
      execution: unknown,
      threadId: unknown,
      attempt: ReceivedAttempt,
    ): Promise<AgentExecutionStatus>;
    [ACTIVITY_NAMES.cleanupSandbox](sandboxId: unknown, cleanup: CleanupContext): Promise<void>;
  };
  readonly inFlight: number;
}

export function createActivityCalls(options: ActivityCallsOptions): ActivityCalls {
  const { activities } = options;
  let inFlight = 0;

  async function counted<T>(call: AttemptOptions<T>): Promise<T> {
    inFlight += 1;
    try {
      return await attempt(options, call);
    } finally {
      inFlight -= 1;
    }
  }

  return {
    get inFlight() {
      return inFlight;
    },
    activities: {
      [ACTIVITY_NAMES.ensureThread]: async (sessionId, agentId, { attempt }) => {
        const session = text("sessionId", sessionId);
        if (session === "") throw refusedFailure("EnsureThread was called without a session id.");
        return counted({
          attempt,
          inbox: [],
          work: (context) => activities.ensureThread(session, text("agentId", agentId), context),
        });
      },

      [ACTIVITY_NAMES.executeGraphton]: async (argument, threadId, { attempt, inbox, isForeign = false }) => {
        const execution = executionOf(argument);
        const executionId = execution.metadata?.id ?? "";
        if (executionId === "") throw refusedFailure("ExecuteGraphton was called with an execution without an id.");
        const thread = text("threadId", threadId);
        return counted({
          executionId,
          attempt,
          inbox,
          isForeign,
          work: (context) => activities.executeGraphton(execution, thread, context),
        });
      },

      [ACTIVITY_NAMES.cleanupSandbox]: async (sandboxId, { attempt, sessionId, workspaceDir, sandboxType }) => {
        const input = { sandboxId: text("sandboxId", sandboxId), sessionId, workspaceDir, sandboxType };
        return counted({ attempt, inbox: [], work: (context) => activities.cleanupSandbox(input, context) });
      },
    },
  };
}

function executionOf(argument: unknown): AgentExecution {
  if (argument === undefined || argument === null)
    throw refusedFailure("ExecuteGraphton was called without an execution.");
  return isMessage(argument, AgentExecutionSchema) ? argument : messageOf(AgentExecutionSchema, argument);
}

/** Other languages send what they have: nothing may be null or left out. */
function text(name: string, value: unknown): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "string") return value;
  throw refusedFailure(`Expected ${name} to be a text, got ${typeof value}.`);
}
