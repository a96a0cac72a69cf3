import { createMeter, hearFirst, type Meter, readMeter, show } from "./meter.ts";
import type { StreamedMessage } from "./read-message.ts";
import type { CallTokens, ModelCall, RunState } from "./run-state.ts";

type AiMessage = Extract<StreamedMessage, { kind: "ai" }>;

/**
 * `piece`: one of a stream, whose counts add up by LangChain's convention. `running`: one that carries the count so far.
 * `whole`: the complete message, which counts when its pieces did not.
 */
export type Part = "piece" | "running" | "whole";

/** Who calls a model, and how it is told. `model` is what was asked for, which the message itself may say better. */
export interface Caller {
  readonly subAgentId: string;
  readonly part: Part;
  readonly model?: string;
}

const NO_TOKENS: CallTokens = { input: 0, output: 0, cached: 0, cacheWritten: 0, reasoning: 0 };

/** Counts a model call and its tokens once for each message id. The status says it when a step of the agent ends. */
export function countTokens(state: RunState, { id, tokens, model }: AiMessage, caller: Caller): void {
  if (state.earlier.has(id)) return;
  let call = state.calls.get(id);
  if (call === undefined) {
    call = { subAgentId: caller.subAgentId, model: "", tokens: NO_TOKENS, told: undefined };
    state.calls.set(id, call);
    state.untold.add(id);
  }
  if (model !== "" || call.model === "") call.model = model || (caller.model ?? "");
  if (tokens === undefined || (caller.part === "whole" && sum(call.tokens) > 0)) return;
  call.tokens = combine(call.tokens, tokens, caller.part === "running" ? Math.max : (a, b) => a + b);
  state.untold.add(id);
}

/** A tool began to run. */
export function countToolCall(state: RunState, subAgentId: string): void {
  for (const meter of metersOf(state, subAgentId)) {
    meter.counts.toolCalls += 1;
    meter.changed = true;
  }
}

/** The run, or a sub-agent, is at work from now on, after what it did before. */
export function beginWork(state: RunState, subAgentId: string): void {
  const { status } = state.fold;
  const stored = subAgentId === "" ? status.usage : state.fold.subAgent(subAgentId)?.usage;
  state.meters.set(subAgentId, createMeter(stored, state.now));
}

/** Something of this sub-agent was shown, or of the agent itself; a model's words are the first or not. */
export function showWork(state: RunState, subAgentId: string, words = false): void {
  for (const meter of metersOf(state, subAgentId)) {
    if (words) hearFirst(meter, state.now);
    else show(meter, state.now);
  }
}

/**
 * Writes into the status what was counted since. Calls whose message still streams wait for its end, so that not each token
 * costs a change; at the end of the work all is told, also how long it took.
 */
export function tellUsage(state: RunState, { end = false }: { readonly end?: boolean } = {}): void {
  tellCalls(state, end);
  if (end || state.meters.get("")?.changed) tellTiming(state);
  for (const [id, meter] of state.meters) {
    if (!meter.changed && !end) continue;
    const usage = readMeter(meter, state.now);
    if (id === "") state.emit({ case: "usage", value: usage });
    else state.emit({ case: "subAgent", value: { subAgent: { id, usage } } });
  }
}

/** Writes into the status where the time went until now, when somebody measures it. */
export function tellTiming(state: RunState): void {
  if (state.timing !== undefined) state.emit({ case: "timing", value: state.timing(state.now) });
}

/** Counts the calls that have ended, or at the end of the work all. */
function tellCalls(state: RunState, end: boolean): void {
  for (const id of state.untold) {
    if (state.open.has(id) && !end) continue;
    state.untold.delete(id);
    const call = state.calls.get(id);
    if (call !== undefined) tellCall(state, id, call);
  }
}

/** The sub-agent has ended: what it used in all. Undefined when its work was not seen. */
export function endWork(state: RunState, subAgentId: string): ReturnType<typeof readMeter> | undefined {
  tellCalls(state, false);
  const meter = state.meters.get(subAgentId);
  state.meters.delete(subAgentId);
  return meter && readMeter(meter, state.now);
}

function tellCall(state: RunState, messageId: string, call: ModelCall): void {
  const cost = state.pricing(call.model, call.tokens);
  const before = call.told ?? { tokens: NO_TOKENS, cost: 0 };
  for (const meter of metersOf(state, call.subAgentId)) {
    const { counts } = meter;
    counts.inputTokens += call.tokens.input - before.tokens.input;
    counts.outputTokens += call.tokens.output - before.tokens.output;
    counts.cachedInputTokens += call.tokens.cached - before.tokens.cached;
    counts.reasoningTokens += call.tokens.reasoning - before.tokens.reasoning;
    counts.modelCalls += call.told === undefined ? 1 : 0;
    meter.costMicroUsd += cost - before.cost;
    meter.changed = true;
  }
  call.told = { tokens: call.tokens, cost };
  if (state.fold.message(messageId) === undefined || sum(call.tokens) === 0) return;
  const { input, output, cached, reasoning } = call.tokens;
  const usage = {
    model: call.model,
    inputTokens: input,
    outputTokens: output,
    cachedInputTokens: cached,
    reasoningTokens: reasoning,
    costMicroUsd: Math.min(0xffff_ffff, Math.round(cost)),
  };
  state.emit({ case: "messageUsage", value: { messageId, usage } });
}

/** The run counts what its sub-agents do; a sub-agent does not count its own sub-agents. */
function metersOf({ meters }: RunState, subAgentId: string): readonly Meter[] {
  const run = meters.get("");
  const subAgent = subAgentId === "" ? undefined : meters.get(subAgentId);
  // Asked for each token: no more is made than is needed.
  if (run === undefined) return subAgent === undefined ? [] : [subAgent];
  return subAgent === undefined ? [run] : [run, subAgent];
}

function combine(a: CallTokens, b: CallTokens, by: (a: number, b: number) => number): CallTokens {
  return {
    input: by(a.input, b.input),
    output: by(a.output, b.output),
    cached: by(a.cached, b.cached),
    cacheWritten: by(a.cacheWritten, b.cacheWritten),
    reasoning: by(a.reasoning, b.reasoning),
  };
}

function sum({ input, output }: CallTokens): number {
  return input + output;
}
