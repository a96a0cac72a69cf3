import { create } from "@bufbuild/protobuf";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { expect, it } from "vitest";
import { limitsOf, usedBy } from "./run-limits.ts";

it("puts each limit that the execution sets in the place of the agent's, up or down", () => {
  const agent = create(AgentSchema, {
    spec: { limits: { maxTokens: 1000, maxToolCalls: 5, maxDurationSeconds: 60, maxRepeatedCalls: 4 } },
  });
  const execution = create(AgentExecutionSchema, {
    spec: { executionConfig: { limits: { maxTokens: 5000, maxToolCalls: 2, maxCostUsd: 0.5 } } },
  });
  expect(limitsOf(agent, execution)).toEqual({
    maxTokens: 5000,
    maxToolCalls: 2,
    maxDurationSeconds: 60,
    maxRepeatedCalls: 4,
    maxCostUsd: 0.5,
  });
  expect(limitsOf(create(AgentSchema), create(AgentExecutionSchema))).toEqual({});
});

it("begins with what the stored status says was used", () => {
  const execution = create(AgentExecutionSchema, {
    status: {
      usage: { inputTokens: 100, outputTokens: 20, modelCalls: 3, costMicroUsd: 1_500_000, activeMs: 4_200 },
      toolCalls: [{ id: "begun", startedAt: "2026-11-21T20:00:00Z" }, { id: "asked-for" }],
    },
  });
  expect(usedBy(execution)).toEqual({
    tokens: 120,
    costUsd: 1.5,
    activeMs: 4_200,
    modelCalls: 3,
    toolCallIds: ["begun"],
  });
  expect(usedBy(create(AgentExecutionSchema))).toEqual({
    tokens: 0,
    costUsd: 0,
    activeMs: 0,
    modelCalls: 0,
    toolCallIds: [],
  });
});
