/** What one run may use, sub-agents and earlier attempts included. What is left out or 0 is not limited. */
export interface RunLimits {
  /** Tokens that models read and wrote. */
  readonly maxTokens?: number;
  /** Estimated cost in US dollars. Models that `costOf` has no price for count nothing. */
  readonly maxCostUsd?: number;
  /** Seconds of work; time at rest does not count. */
  readonly maxDurationSeconds?: number;
  readonly maxToolCalls?: number;
  readonly maxModelCalls?: number;
  /**
   * How often in a row the same call may give the same result before the agent is told so; after as many again the run ends.
   * Default 3, also for 0.
   */
  readonly maxRepeatedCalls?: number;
}

/** What a run has used so far. */
export interface RunUsage {
  readonly tokens: number;
  readonly costUsd: number;
  readonly activeMs: number;
  readonly modelCalls: number;
  /** By id, so that a call which is made again after a crash counts once. */
  readonly toolCallIds: readonly string[];
}

/** One call of a model, for who knows what it costs. */
export interface ModelCall {
  /** As its provider names it. */
  readonly model: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Of the input tokens, those that the provider had cached. */
  readonly cachedInputTokens: number;
  /** Of the input tokens, those that the provider put into its cache. */
  readonly cacheWriteTokens: number;
}

/** Estimates the cost of a call in US dollars; undefined for a model without a price. */
export type CostOf = (call: ModelCall) => number | undefined;

/** Of a sum and its limit, where there is one. */
interface Measure {
  readonly limit: number | undefined;
  readonly used: number;
  readonly name: keyof RunLimits;
  /** What the limit is of, with its number. */
  readonly say: (value: number) => string;
}

export type Sums = Omit<RunUsage, "toolCallIds"> & { readonly toolCalls: number };

/** Says which limit is used up, in one sentence for whoever started the run; undefined when none is. */
export function usedUp(limits: RunLimits, sums: Sums, next: "model-call" | "tool-call" | "time"): string | undefined {
  const measures: Measure[] = [
    { name: "maxTokens", limit: limits.maxTokens, used: sums.tokens, say: (value) => `${count(value)} tokens` },
    { name: "maxCostUsd", limit: limits.maxCostUsd, used: sums.costUsd, say: (value) => `$${dollars(value)}` },
    {
      name: "maxDurationSeconds",
      limit: limits.maxDurationSeconds,
      used: sums.activeMs / 1000,
      say: (value) => `${count(Math.floor(value * 10) / 10)} seconds of work`,
    },
    {
      name: "maxModelCalls",
      limit: next === "model-call" ? limits.maxModelCalls : undefined,
      used: sums.modelCalls,
      say: (value) => `${count(value)} model calls`,
    },
    {
      name: "maxToolCalls",
      limit: next === "tool-call" ? limits.maxToolCalls : undefined,
      used: sums.toolCalls,
      say: (value) => `${count(value)} tool calls`,
    },
  ];
  const over = measures.find(({ limit = 0, used }) => limit > 0 && used >= limit);
  if (over?.limit === undefined) return undefined;
  const { name, limit, used, say } = over;
  return (
    `The run has reached its limit of ${say(limit)}: it has used ${say(used)}. ` +
    `Raise limits.${name} in the agent's spec, or in the execution's executionConfig for one run.`
  );
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** Cents are enough for dollars, not for what one call of a small model costs. */
function dollars(value: number): string {
  return value >= 1 ? value.toFixed(2) : String(Number(value.toPrecision(2)));
}
