import { type AgentExecutionStatus, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { showPhase } from "../../resources/kinds.ts";
import type { Color, Paint } from "../colors.ts";
import { durationBetween, formatDuration } from "../durations.ts";
import { oneLine } from "../plain-text.ts";

const colors: Readonly<Partial<Record<ExecutionPhase, Color>>> = {
  [ExecutionPhase.EXECUTION_COMPLETED]: "green",
  [ExecutionPhase.EXECUTION_FAILED]: "red",
  [ExecutionPhase.EXECUTION_TERMINATED]: "red",
};

/** Of an error that is longer, the last lines tell no more than this. */
export const LONGEST_ERROR = 1000;

/**
 * The last lines of a run: `completed in 4.2 s · 12,345 tokens (11,000 in, 1,345 out) · 4 model calls · 2 sub-agents · about
 * $0.05`, and where its time went. The cost is an estimate, and left out for models without a price.
 */
export function summarize(status: AgentExecutionStatus, paint: Paint): string {
  const durationMs = durationBetween(status.startedAt, status.completedAt);
  const phase = `${showPhase(status.phase)}${durationMs === undefined ? "" : ` in ${formatDuration(durationMs)}`}`;
  const error = status.error === "" ? "" : `: ${oneLine(status.error, LONGEST_ERROR)}`;
  const [, limit] = /\blimits\.(\w+) in the agent's spec/.exec(status.error) ?? [];
  const advice = limit === undefined ? "" : ` Here that is --limit ${limit}=….`;
  return `${paint(colors[status.phase] ?? "yellow", `${phase}${error}${advice}`)}${paint("dim", usageOf(status))}${paint("dim", timingOf(status))}`;
}

/** A line of its own: `  0.2 s queued · 0.8 s getting ready · 2.9 s models · 0.3 s tools · 0.2 s other · 4.4 s in all`. */
function timingOf({ timing }: AgentExecutionStatus): string {
  if (timing === undefined) return "";
  const parts: readonly (readonly [ms: number, what: string])[] = [
    [timing.queuedMs, "queued"],
    [timing.setupMs, "getting ready"],
    [timing.modelMs, "models"],
    [timing.toolsMs, "tools"],
    [timing.otherMs, "other"],
    [timing.waitingMs, "waiting"],
  ];
  // What would read `0.0 s` says nothing.
  const told = parts.filter(([ms]) => ms >= 50).map(([ms, what]) => `${formatDuration(ms)} ${what}`);
  return `\n  ${[...told, `${formatDuration(timing.totalMs)} in all`].join(" · ")}`;
}

/** What a run has used so far, in few words: `11,345 tokens`, `about $0.05`. */
export function showUse(usage: AgentExecutionStatus["usage"]): string[] {
  if (usage === undefined || usage.inputTokens + usage.outputTokens === 0) return [];
  const tokens = `${(usage.inputTokens + usage.outputTokens).toLocaleString("en-US")} tokens`;
  return usage.costMicroUsd === 0 ? [tokens] : [tokens, `about ${formatCost(usage.costMicroUsd)}`];
}

function usageOf({ usage, subAgentExecutions }: AgentExecutionStatus): string {
  if (usage === undefined || usage.inputTokens + usage.outputTokens === 0) return "";
  const { inputTokens, outputTokens, modelCalls, costMicroUsd } = usage;
  const count = (value: number): string => value.toLocaleString("en-US");
  const tokens = `${count(inputTokens + outputTokens)} tokens (${count(inputTokens)} in, ${count(outputTokens)} out)`;
  const some = (number: number, what: string): string => ` · ${count(number)} ${what}${number === 1 ? "" : "s"}`;
  const tasks = subAgentExecutions.length;
  const cost = costMicroUsd === 0 ? "" : ` · about ${formatCost(costMicroUsd)}`;
  return ` · ${tokens}${some(modelCalls, "model call")}${tasks === 0 ? "" : some(tasks, "sub-agent")}${cost}`;
}

/** Cents, and for less than ten of them the two digits that count. */
export function formatCost(microUsd: number): string {
  const usd = microUsd / 1e6;
  if (usd >= 0.1) return `$${usd.toFixed(2)}`;
  return `$${Number(usd.toPrecision(2)).toFixed(Math.min(6, 1 - Math.floor(Math.log10(usd))))}`;
}
