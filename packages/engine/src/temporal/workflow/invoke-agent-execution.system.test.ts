import { type AgentExecution, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_ACTIVITY_QUEUE, INVOKE_AGENT_EXECUTION } from "../../contract.ts";
import { completed, endOf, NEW_HISTORY_SCENARIO, SCENARIOS } from "../__fixtures__/scenarios.ts";
import { createWorkflowWorld, executionNamed, type WorkflowWorld } from "../__fixtures__/workflow-world.ts";
import type { AttemptContext } from "../workflow-contract.ts";

describe("the workflow of an execution, on a real server", () => {
  let world: WorkflowWorld;
  beforeAll(async () => {
    world = await createWorkflowWorld();
  });
  afterAll(() => world?.dispose());

  it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))("%s", async (_name, { run }) => {
    await run(world);
  });
});

it("goes on in a new history with all it knows, when the server suggests one", async () => {
  const world = await createWorkflowWorld({ dynamicConfig: { "limit.historyCount.suggestContinueAsNew": 10 } });
  try {
    await NEW_HISTORY_SCENARIO.run(world);

    // Also when its starter knew of no options.
    const attempts: number[] = [];
    await world.startRunner(DEFAULT_ACTIVITY_QUEUE, {
      EnsureThread: async () => "thread-1",
      ExecuteGraphton: async (_execution: AgentExecution, _threadId: string, { attempt }: AttemptContext) => {
        attempts.push(attempt);
        if (attempt < 3) throw new Error("the disk was full");
        return completed();
      },
    });
    const handle = await world.client.workflow.start(INVOKE_AGENT_EXECUTION, {
      workflowId: "aex-without-options",
      taskQueue: world.workflowQueue,
      args: [executionNamed("aex-without-options")],
    });
    expect((await endOf(handle)).phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
    expect(attempts).toEqual([1, 2, 3]);
    const { runId } = await world.client.workflow.getHandle("aex-without-options").describe();
    expect(runId).not.toBe(handle.firstExecutionRunId);
  } finally {
    await world.dispose();
  }
});
