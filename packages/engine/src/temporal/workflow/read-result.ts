import { create } from "@bufbuild/protobuf";
import {
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { ApplicationFailure, type RawValue } from "@temporalio/common";
import { FAILURE_TYPES } from "../failures.ts";
import { messageOf } from "../payload-converter.ts";
import { valueOf } from "./raw-values.ts";

const MAX_ERROR_LENGTH = 16_384;

const ENDS: ReadonlySet<ExecutionPhase> = new Set([
  ExecutionPhase.EXECUTION_COMPLETED,
  ExecutionPhase.EXECUTION_FAILED,
  ExecutionPhase.EXECUTION_CANCELLED,
  ExecutionPhase.EXECUTION_TERMINATED,
]);

/**
 * How a run ended, without what makes it long: messages and the like are with the server. Throws when it is not an end, which a
 * runner of another origin may return.
 */
export function endOf(raw: RawValue): AgentExecutionStatus {
  const { phase, error, startedAt, completedAt, revision, usage } = messageOf(AgentExecutionStatusSchema, valueOf(raw));
  if (!ENDS.has(phase)) {
    throw infrastructure(
      `The runner returned a status of phase ${ExecutionPhase[phase] ?? String(phase)}, which is no end.`,
    );
  }
  return create(AgentExecutionStatusSchema, { phase, error: cut(error), startedAt, completedAt, revision, usage });
}

/** An end that no runner reported. */
export function ended(phase: ExecutionPhase, error: string): AgentExecutionStatus {
  return create(AgentExecutionStatusSchema, { phase, error: cut(error), completedAt: new Date().toISOString() });
}

/** The thread that EnsureThread named. */
export function threadOf(raw: RawValue): string {
  const threadId = valueOf(raw);
  if (typeof threadId === "string" && threadId !== "") return threadId;
  throw infrastructure("The runner named no thread.");
}

function cut(error: string): string {
  return error.length > MAX_ERROR_LENGTH ? `${error.slice(0, MAX_ERROR_LENGTH)}…` : error;
}

function infrastructure(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, FAILURE_TYPES.infrastructure);
}
