import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type StatusChange, StatusChangeSchema, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import { createRowFold, type RowFold } from "./status-fold.ts";
import type { AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";

type ChangeInit = NonNullable<MessageInitShape<typeof StatusChangeSchema>["change"]>;

/** What has streamed of a message that is not complete yet, beside what its row holds. */
export interface OpenMessage {
  /** First half of a surrogate pair whose second half has not come. */
  heldContent: string;
  heldReasoning: string;
}

/** A tool call without a result yet. */
interface LiveCall {
  /** The message that asked for it; empty if none is known. */
  readonly messageId: string;
  /** When the tool itself ended. Its result comes later, as a message, after middleware has had its say. */
  endedAt: string;
  error: string;
}

/** Tokens of one model call. */
export interface CallTokens {
  input: number;
  output: number;
  cached: number;
  reasoning: number;
}

/** All that a reducer remembers of a run. The status itself is the fold's; beside it is only what has no row there. */
export interface RunState {
  readonly executionId: string;
  readonly fold: RowFold;
  readonly open: Map<string, OpenMessage>;
  readonly live: Map<string, LiveCall>;
  /** Calls of `write_todos`, which have no row. */
  readonly planning: Set<string>;
  /** Messages that earlier runners or executions streamed: not said, and not paid, in this attempt. */
  readonly earlier: Set<string>;
  readonly tokens: Map<string, CallTokens>;
  /** Which sub-agent a graph namespace belongs to: the id of the `task` call. */
  readonly subAgents: Map<string, string>;
  /** Applies a change to the status and hands it out. */
  emit(change: ChangeInit): void;
  /** What was emitted since the last call. */
  take(): StatusChange[];
}

export function createRunState(executionId: string, resumeFrom?: AgentExecutionStatus): RunState {
  const fold = createRowFold(resumeFrom);
  let emitted: StatusChange[] = [];
  return {
    executionId,
    fold,
    open: new Map(),
    live: new Map(),
    planning: new Set(),
    earlier: new Set(fold.status.messages.map(({ id }) => id)),
    tokens: new Map(),
    subAgents: new Map(),
    emit(init) {
      const change = create(StatusChangeSchema, { change: init });
      fold.apply(create(StatusDeltaSchema, { changes: [change] }));
      emitted.push(change);
    },
    take() {
      const taken = emitted;
      emitted = [];
      return taken;
    },
  };
}
