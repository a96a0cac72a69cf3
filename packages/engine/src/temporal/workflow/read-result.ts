import { create } from "@bufbuild/protobuf";
import {
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { ApplicationFailure, RawValue } from "@temporalio/common";
import { FAILURE_TYPES } from "../failures.ts";
import { messageOf, payloadConverter } from "../payload-converter.ts";

const MAX_ERROR_LENGTH = 16_384;

const ENDS: ReadonlySet<ExecutionPhase> = new Set([
  ExecutionPhase.EXECUTION_COMPLETED,
  ExecutionPhase.EXECUTION_FAILED,
  ExecutionPhase.EXECUTION_CANCELLED,
  ExecutionPhase.EXECUTION_TERMINATED,
]);

/** What came from outside, as a value. Throws an ApplicationFailure that says what is wrong with it. */
export function valueOf(raw: unknown): unknown {
  if (!(raw instanceof RawValue)) return raw;
  try {
    return payloadConverter.fromPayload(raw.payload);
  } catch (error) {
    if (error instanceof ApplicationFailure) throw error;
    throw infrastructure(`A value could not be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * How a run ended, without what makes it long: messages and the like are with the server. Throws when it is not an end, which a
 * runner of another origin may return.
 */
export function endOf(raw: unknown): AgentExecutionStatus {
  const { phase, error, startedAt, completedAt, revision, usage } = messageOf(AgentExecutionStatusSchema, valueOf(raw));
  if (!ENDS.has(phase)) {
    throw infrastructure(
      `The runner returned a status of phase ${ExecutionPhase[phase] ?? String(phase)}, which is no end.`,
    );
  }
  const short = error.length > MAX_ERROR_LENGTH ? `${error.slice(0, MAX_ERROR_LENGTH)}…` : error;
  return create(AgentExecutionStatusSchema, { phase, error: short, startedAt, completedAt, revision, usage });
}

/** The thread that EnsureThread named. */
export function threadOf(raw: unknown): string {
  const threadId = valueOf(raw);
  if (typeof threadId === "string" && threadId !== "") return threadId;
  throw infrastructure("The runner named no thread.");
}

function infrastructure(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, FAILURE_TYPES.infrastructure);
}
