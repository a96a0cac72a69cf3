import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type RunTimingSchema,
  type StatusChange,
  StatusChangeSchema,
  StatusDeltaSchema,
} from "@stigmer/protos/agentexecution/v1";
import type { Meter } from "./meter.ts";
import type { PricedTokens, Pricing } from "./prices.ts";
import { createRowFold, type RowFold } from "./status-fold.ts";
import type { AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";

type ChangeInit = NonNullable<MessageInitShape<typeof StatusChangeSchema>["change"]>;

/** Says where the time of a run went until `now`, in milliseconds since 1970. */
export type ReadTiming = (now: number) => MessageInitShape<typeof RunTimingSchema>;

/** What has streamed of a message that is not complete yet, beside what its row holds. */
export interface OpenMessage {
  /** First half of a surrogate pair whose second half has not come. */
  heldContent: string;
  heldReasoning: string;
  /** The sub-agent's task in which it is said; empty for the agent itself. */
  readonly subAgentId: string;
}

/** A tool call without a result yet. */
interface LiveCall {
  /** The message that asked for it; empty if none is known. */
  readonly messageId: string;
  /** The sub-agent's task in which it was called; empty for the agent itself. */
  readonly subAgentId: string;
  /** When the tool itself ended. Its result comes later, as a message, after middleware has had its say. */
  endedAt: string;
  error: string;
}

/** Tokens of one model call. */
export interface CallTokens extends PricedTokens {
  readonly reasoning: number;
}

/** One call of a model, as far as its provider has said. */
export interface ModelCall {
  readonly subAgentId: string;
  model: string;
  tokens: CallTokens;
  /** What of it the status says already. */
  told: { readonly tokens: CallTokens; readonly cost: number } | undefined;
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
  /** By the id of the message that came of it. */
  readonly calls: Map<string, ModelCall>;
  /** Calls of which the status does not say all yet. */
  readonly untold: Set<string>;
  /** Who is at work, by the sub-agent's task; the run as a whole is `""`. */
  readonly meters: Map<string, Meter>;
  readonly pricing: Pricing;
  readonly timing: ReadTiming | undefined;
  /**
   * What a sub-agent said last before another runner went on with it. Perhaps its checkpoint does not have it: then the
   * sub-agent says it anew.
   */
  readonly lastWords: Map<string, string>;
  /** Which sub-agent a graph namespace belongs to: the id of the `task` call. */
  readonly subAgents: Map<string, string>;
  /** The moment of the event at hand, in milliseconds since 1970. */
  now: number;
  /** Applies a change to the status and hands it out. */
  emit(change: ChangeInit): void;
  /** Whether something was emitted since the last `take`. */
  readonly changed: boolean;
  /** What was emitted since the last call. */
  take(): StatusChange[];
}

interface RunStateOptions {
  readonly executionId: string;
  readonly pricing: Pricing;
  readonly timing?: ReadTiming;
  readonly resumeFrom?: AgentExecutionStatus;
}

export function createRunState({ executionId, pricing, timing, resumeFrom }: RunStateOptions): RunState {
  const fold = createRowFold(resumeFrom);
  const ofSubAgents = fold.status.messages.filter(({ subAgentId }) => subAgentId !== "");
  let emitted: StatusChange[] = [];
  return {
    executionId,
    fold,
    open: new Map(),
    live: new Map(),
    planning: new Set(),
    earlier: new Set(fold.status.messages.map(({ id }) => id)),
    calls: new Map(),
    untold: new Set(),
    meters: new Map(),
    pricing,
    timing,
    lastWords: new Map(ofSubAgents.map(({ subAgentId, id }) => [subAgentId, id])),
    subAgents: new Map(),
    now: 0,
    emit(init) {
      const change = create(StatusChangeSchema, { change: init });
      fold.apply(create(StatusDeltaSchema, { changes: [change] }));
      emitted.push(change);
    },
    get changed() {
      return emitted.length > 0;
    },
    take() {
      const taken = emitted;
      emitted = [];
      return taken;
    },
  };
}
