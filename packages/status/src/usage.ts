import type { StreamedMessage } from "./read-message.ts";
import type { CallTokens, RunState } from "./run-state.ts";

type AiMessage = Extract<StreamedMessage, { kind: "ai" }>;

/**
 * `piece`: one of a stream, whose counts add up by LangChain's convention. `running`: one that carries the count so far.
 * `whole`: the complete message, which counts when its pieces did not.
 */
export type Part = "piece" | "running" | "whole";

/** Counts a model call and its tokens, sub-agents' too, once for each message id. */
export function countTokens(state: RunState, { id, tokens }: AiMessage, part: Part): void {
  if (state.earlier.has(id)) return;
  const known = state.tokens.get(id);
  if (known !== undefined && (tokens === undefined || (part === "whole" && sum(known) > 0))) return;
  const before = known ?? { input: 0, output: 0, cached: 0, reasoning: 0 };
  const after =
    tokens === undefined ? before : combine(before, tokens, part === "running" ? Math.max : (a, b) => a + b);
  state.tokens.set(id, after);
  if (known !== undefined && sum(known) === sum(after)) return;
  const total = state.fold.status.usage;
  state.emit({
    case: "usage",
    value: {
      inputTokens: (total?.inputTokens ?? 0) + after.input - before.input,
      outputTokens: (total?.outputTokens ?? 0) + after.output - before.output,
      cachedInputTokens: (total?.cachedInputTokens ?? 0) + after.cached - before.cached,
      reasoningTokens: (total?.reasoningTokens ?? 0) + after.reasoning - before.reasoning,
      modelCalls: (total?.modelCalls ?? 0) + (known === undefined ? 1 : 0),
    },
  });
}

function combine(a: CallTokens, b: CallTokens, by: (a: number, b: number) => number): CallTokens {
  return {
    input: by(a.input, b.input),
    output: by(a.output, b.output),
    cached: by(a.cached, b.cached),
    reasoning: by(a.reasoning, b.reasoning),
  };
}

function sum({ input, output, cached, reasoning }: CallTokens): number {
  return input + output + cached + reasoning;
}
