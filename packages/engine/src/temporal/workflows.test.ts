import { create } from "@bufbuild/protobuf";
import { AgentExecutionStatusSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import type { Client } from "@temporalio/client";
import { expect, it } from "vitest";
import { systemClock } from "../clock.ts";
import { createLongPolls } from "./long-polls.ts";
import { createWorkflows, type WorkflowEnd } from "./workflows.ts";

const { EXECUTION_COMPLETED, EXECUTION_FAILED } = ExecutionPhase;

/** What is made of a workflow that gave this. */
async function endOf(kind: "execution" | "cleanup-sandbox", result: unknown): Promise<WorkflowEnd | undefined> {
  const client = {
    connection: { withAbortSignal: (_signal: AbortSignal, work: () => unknown) => work() },
    workflow: { getHandle: () => ({ result: async () => result }) },
  } as unknown as Client;
  const workflows = createWorkflows({
    client,
    workflowTaskQueue: "workflows",
    invokeOptions: {} as never,
    longPolls: createLongPolls({ clock: systemClock }),
    now: () => 0,
  });
  return workflows.end({ id: "task-1", kind }, new AbortController().signal);
}

it("takes a clean-up that tells nothing for done, and a run that tells nothing for failed", async () => {
  expect(await endOf("cleanup-sandbox", undefined)).toMatchObject({
    status: { phase: EXECUTION_COMPLETED, error: "" },
  });
  const status = create(AgentExecutionStatusSchema, { phase: EXECUTION_COMPLETED, error: "" });
  expect(await endOf("execution", status)).toEqual({ kind: "status", status });
  expect(await endOf("execution", undefined)).toMatchObject({
    status: { phase: EXECUTION_FAILED, error: "The workflow ended without a status." },
  });
});
