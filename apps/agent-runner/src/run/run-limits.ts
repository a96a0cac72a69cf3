import type { CostOf, RunLimits, RunUsage } from "@stigmer/agent";
import type { Agent, RunLimits as RunLimitsMessage } from "@stigmer/protos/agent/v1";
import type { AgentExecution } from "@stigmer/protos/agentexecution/v1";
import type { Pricing } from "@stigmer/status";

/** The agent's limits; each that the execution sets is in the place of the agent's. */
export function limitsOf(agent: Agent, execution: AgentExecution): RunLimits {
  return { ...setOnes(agent.spec?.limits), ...setOnes(execution.spec?.executionConfig?.limits) };
}

function setOnes(limits: RunLimitsMessage | undefined): RunLimits {
  const { maxTokens, maxCostUsd, maxDurationSeconds, maxToolCalls, maxModelCalls, maxRepeatedCalls } = limits ?? {};
  const all = { maxTokens, maxCostUsd, maxDurationSeconds, maxToolCalls, maxModelCalls, maxRepeatedCalls };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value > 0));
}

/** What earlier attempts have used, as the stored status says. */
export function usedBy({ status }: AgentExecution): RunUsage {
  const { inputTokens = 0, outputTokens = 0, modelCalls = 0, costMicroUsd = 0, activeMs = 0 } = status?.usage ?? {};
  return {
    tokens: inputTokens + outputTokens,
    costUsd: costMicroUsd / 1_000_000,
    activeMs,
    modelCalls,
    // Those that were asked for and not begun are no calls yet.
    toolCallIds: (status?.toolCalls ?? []).filter(({ startedAt }) => startedAt !== "").map(({ id }) => id),
  };
}

/** What the status would say that a call costs, in US dollars. */
export function costBy(pricing: Pricing): CostOf {
  return ({ model, inputTokens, outputTokens, cachedInputTokens, cacheWriteTokens }) => {
    const tokens = {
      input: inputTokens,
      output: outputTokens,
      cached: cachedInputTokens,
      cacheWritten: cacheWriteTokens,
    };
    return pricing(model, tokens) / 1_000_000;
  };
}
