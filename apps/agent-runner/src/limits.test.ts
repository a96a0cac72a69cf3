import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RunLimitsSchema } from "@stigmer/protos/agent/v1";
import {
  MessageType,
  ExecutionPhase,
  ToolCallStatus,
  type AgentExecutionStatus,
} from "@stigmer/protos/agentexecution/v1";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startPlatform, type Platform } from "./__fixtures__/platform.ts";

// Limits as people meet them: set in an agent's spec or for one run, told in the status of the run that they ended.

let platform: Platform;

beforeAll(async () => {
  const step = { toolCalls: [{ name: "execute", args: { command: "date +%N" } }] };
  platform = await startPlatform({
    name: "limits",
    scenarios: [
      {
        name: "same",
        match: { human: "in circles" },
        turns: Array.from({ length: 9 }, () => ({ toolCalls: [{ name: "execute", args: { command: "echo same" } }] })),
      },
      { name: "work", turns: [step, step, step, step, { text: "Done." }] },
    ],
  });
  await platform.runner();
}, 60_000);
afterAll(() => platform[Symbol.asyncDispose]());

function expectEnded({ phase, error, messages }: AgentExecutionStatus, says: RegExp): void {
  expect(ExecutionPhase[phase]).toBe("EXECUTION_FAILED");
  expect(error).toMatch(says);
  expect(messages.at(-1)).toMatchObject({ type: MessageType.MESSAGE_SYSTEM });
  expect(messages.at(-1)?.content).toContain(error);
}

it(
  "ends a run at the agent's limit, or at the one of the run, and says how to raise it",
  { timeout: 60_000 },
  async () => {
    const agent = await platform.applyAgent({ limits: { maxToolCalls: 2, maxRepeatedCalls: 2 } }, "limited");
    const agentId = agent.metadata?.id;
    const ended = await platform.run({ agentId, message: "Work." });
    expectEnded(
      ended,
      /^The run has reached its limit of 2 tool calls: it has used 2 tool calls\. Raise limits\.maxToolCalls/,
    );
    const raised = await platform.run({ agentId, message: "Work.", executionConfig: { limits: { maxToolCalls: 4 } } });
    expect(raised).toMatchObject({ phase: ExecutionPhase.EXECUTION_COMPLETED, error: "" });
    const cost = await platform.run({
      agentId,
      message: "Work.",
      executionConfig: { limits: { maxCostUsd: 0.000_001 } },
    });
    expectEnded(cost, /^The run has reached its limit of \$0\.000001: it has used \$0\.\d+\. Raise limits\.maxCostUsd/);
    const circles = await platform.run({
      agentId,
      message: "Go in circles.",
      executionConfig: { limits: { maxToolCalls: 9 } },
    });
    expectEnded(circles, /^The agent called execute 4 times in a row/);
  },
);

it("tells what the last call before the limit used", { timeout: 60_000 }, async () => {
  const agent = await platform.applyAgent({}, "counted");
  const agentId = agent.metadata?.id;
  const limits: [MessageInitShape<typeof RunLimitsSchema>, used: { modelCalls: number; toolCalls: number }][] = [
    [{ maxModelCalls: 3 }, { modelCalls: 3, toolCalls: 3 }],
    [{ maxToolCalls: 2 }, { modelCalls: 3, toolCalls: 2 }],
    [{ maxTokens: 1 }, { modelCalls: 1, toolCalls: 0 }],
  ];
  for (const [each, { modelCalls, toolCalls }] of limits) {
    const ended = await platform.run({ agentId, message: "Work.", executionConfig: { limits: each } });
    expectEnded(ended, /^The run has reached its limit of \d/);
    expect(ended.usage?.modelCalls).toBe(modelCalls);
    expect(ended.toolCalls.filter(({ status }) => status === ToolCallStatus.TOOL_CALL_COMPLETED)).toHaveLength(
      toolCalls,
    );
  }
});

it("counts what was used before a runner died", { timeout: 120_000 }, async () => {
  const agent = await platform.applyAgent({}, "patient");
  const agentId = agent.metadata?.id;
  const run = await platform.submit({ agentId, message: "Work.", executionConfig: { limits: { maxModelCalls: 3 } } });
  await platform.follow(run, ({ usage }) => (usage?.modelCalls ?? 0) >= 2);
  const before = platform.model.requests.length;
  // It may have gone on a little; the limit is what counts.
  await platform.restartServer();
  const ended = await platform.follow(run);
  expectEnded(ended, /limit of 3 model calls/);
  expect(ended.usage?.modelCalls).toBe(3);
  expect(platform.model.requests.length - before).toBeLessThanOrEqual(1);
});
