import assert from "node:assert/strict";
import { WorkflowFailedError } from "@temporalio/client";
import { RawValue, type Payload } from "@temporalio/common";
import { type AgentExecution, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { create } from "@bufbuild/protobuf";
import { CleanupSandboxTaskSchema } from "@stigmer/protos/runner/v1";
import { SandboxType } from "@stigmer/protos/session/v1";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_ACTIVITY_QUEUE, INVOKE_AGENT_EXECUTION } from "../../contract.ts";
import { ActivityStop } from "../../errors.ts";
import { completed, endOf, inState } from "../__fixtures__/scenarios.ts";
import { createWorkflowWorld, executionNamed, type WorkflowWorld } from "../__fixtures__/workflow-world.ts";
import { activityFailure } from "../failures.ts";
import { SEARCH_ATTRIBUTES } from "../search-attributes.ts";
import { type AttemptContext, CLEANUP_SANDBOX_WORKFLOW, type CleanupContext } from "../workflow-contract.ts";

const text = (value: Uint8Array | null | undefined): string => Buffer.from(value ?? []).toString("utf8");

/** A payload as an SDK of another language writes it. */
function foreign(messageType: string, json: string): RawValue {
  return RawValue.fromPayload({
    metadata: { encoding: Buffer.from("json/protobuf"), messageType: Buffer.from(messageType) },
    data: Buffer.from(json),
  });
}

describe("workflow, starters and runners of different origins", { timeout: 30_000 }, () => {
  let world: WorkflowWorld;
  beforeAll(async () => {
    world = await createWorkflowWorld({
      searchAttributes: Object.fromEntries(Object.keys(SEARCH_ATTRIBUTES).map((name) => [name, "Keyword"])),
    });
  });
  afterAll(() => world?.dispose());

  it("is started under the ecosystem's name, with the execution alone, and drives a runner that knows two arguments", async () => {
    const calls: unknown[][] = [];
    const execution: AgentExecution[] = [];
    const runner = await world.startRunner(
      DEFAULT_ACTIVITY_QUEUE,
      {
        EnsureThread: async (...args: unknown[]) => {
          calls.push(args);
          return "thread-of-ses-1";
        },
        ExecuteGraphton: async (...args: unknown[]) => {
          calls.push(args.slice(1));
          execution.push(args[0] as AgentExecution);
          if (calls.length < 3) throw new Error("Nobody of ours threw this.");
          return foreign(
            "ai.stigmer.agentic.agentexecution.v1.AgentExecutionStatus",
            '{"messages": [{"type": "MESSAGE_AI", "content": "Done."}],  "phase":"EXECUTION_COMPLETED", "completed_at":"2026-01-01T00:00:00Z", "of_tomorrow": 1}',
          );
        },
      },
      { plain: true },
    );
    const handle = await world.client.workflow.start(INVOKE_AGENT_EXECUTION, {
      workflowId: "aex-foreign",
      taskQueue: world.workflowQueue,
      args: [
        foreign(
          "ai.stigmer.agentic.agentexecution.v1.AgentExecution",
          '{"apiVersion":"agentic.stigmer.ai/v1", "kind":"AgentExecution", "metadata":{"id":"aex-foreign"}, "spec":{"session_id":"ses-1","agentId":"agt-1","message":"Hé 👋"}}',
        ),
      ],
    });
    const end = await endOf(handle);
    expect([end.phase, end.completedAt, end.messages]).toEqual([
      ExecutionPhase.EXECUTION_COMPLETED,
      "2026-01-01T00:00:00Z",
      [],
    ]);
    expect(calls).toEqual([["ses-1", "agt-1"], ["thread-of-ses-1"], ["thread-of-ses-1"]]);
    expect(execution[0]?.spec?.message).toBe("Hé 👋");

    const { events } = await handle.fetchHistory();
    const scheduled = events?.flatMap(({ activityTaskScheduledEventAttributes }) =>
      activityTaskScheduledEventAttributes?.activityType?.name === "ExecuteGraphton"
        ? [activityTaskScheduledEventAttributes]
        : [],
    )[0];
    const [first, second, ...more] = scheduled?.input?.payloads ?? [];
    expect(metadataOf(first)).toEqual({
      encoding: "json/protobuf",
      messageType: "ai.stigmer.agentic.agentexecution.v1.AgentExecution",
    });
    expect([metadataOf(second), text(second?.data), more]).toEqual([
      { encoding: "json/plain" },
      '"thread-of-ses-1"',
      [],
    ]);
    const result = events?.at(-1)?.workflowExecutionCompletedEventAttributes?.result?.payloads?.[0];
    expect(metadataOf(result)["messageType"]).toBe("ai.stigmer.agentic.agentexecution.v1.AgentExecutionStatus");
    await runner.stop();
  });

  it("takes plain JSON, as a command line sends it", async () => {
    const queue = world.newQueue();
    await world.startRunner(queue, { EnsureThread: async () => "t", ExecuteGraphton: async () => completed() });
    const handle = await world.client.workflow.start(INVOKE_AGENT_EXECUTION, {
      workflowId: "aex-plain",
      taskQueue: world.workflowQueue,
      args: [{ metadata: { id: "aex-plain" }, spec: { sessionId: "ses-1" } }, { runnerTaskQueue: queue }],
    });
    expect((await endOf(handle)).phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
  });

  it("says what is missing, in the status", async () => {
    const execution = executionNamed("aex-no-session");
    const handle = await world.client.workflow.start(INVOKE_AGENT_EXECUTION, {
      workflowId: "aex-no-session",
      taskQueue: world.workflowQueue,
      args: [{ ...execution, spec: { ...execution.spec, sessionId: "" } }],
    });
    const { phase, error } = await endOf(handle);
    expect([phase, error]).toEqual([
      ExecutionPhase.EXECUTION_FAILED,
      "Session ID is required for execution aex-no-session",
    ]);
  });

  it.each([
    [
      "a message that is not known",
      foreign("ai.stigmer.agentic.agentexecution.v2.AgentExecution", "{}"),
      /v2\.AgentExecution.*known are/,
    ],
    [
      "a message of another kind",
      foreign("ai.stigmer.agentic.runner.v1.InboxItem", "{}"),
      /Expected a .*AgentExecution, got a .*InboxItem/,
    ],
    [
      "JSON of another form",
      foreign("ai.stigmer.agentic.agentexecution.v1.AgentExecution", '{"spec":7}'),
      /could not be read/,
    ],
  ])("fails at once on %s instead of trying for ever", async (name, argument, expected) => {
    const handle = await world.client.workflow.start(INVOKE_AGENT_EXECUTION, {
      workflowId: `aex-${name.replaceAll(" ", "-")}`,
      taskQueue: world.workflowQueue,
      args: [argument],
    });
    const error: unknown = await handle.result().catch((error: unknown) => error);
    assert.ok(error instanceof WorkflowFailedError);
    expect(error.cause?.message).toMatch(expected);
  });

  it("counts a result that can't be read as a failed attempt", async () => {
    const queue = world.newQueue();
    const results = [
      foreign("ai.stigmer.agentic.agentexecution.v2.AgentExecutionStatus", "{}"),
      { phase: "EXECUTION_IN_PROGRESS" },
      undefined,
      { phase: 4, error: "no such model" },
    ];
    await world.startRunner(queue, { EnsureThread: async () => "t", ExecuteGraphton: async () => results.shift() });
    const handle = await world.start("aex-unreadable", { runnerTaskQueue: queue, retryDelayMs: 1 });
    const { phase, error } = await endOf(handle);
    expect([phase, error, results.length]).toEqual([ExecutionPhase.EXECUTION_FAILED, "no such model", 0]);
  });

  it("writes the search attributes that the namespace has, and no others", async () => {
    const queue = world.newQueue();
    const rested = Promise.withResolvers<void>();
    await world.startRunner(queue, {
      EnsureThread: async () => "t",
      ExecuteGraphton: async (_execution: AgentExecution, _threadId: string, { attempt }: AttemptContext) => {
        if (attempt > 1) return completed();
        rested.resolve();
        throw activityFailure(new ActivityStop("paused", "Look."), { pauseAsked: false });
      },
    });
    const handle = await world.start("aex-found", {
      runnerTaskQueue: queue,
      searchAttributes: ["StigmerAgent", "StigmerOrg", "StigmerPhase"],
    });
    await inState(handle, "paused");
    const { typedSearchAttributes } = await handle.describe();
    const found = Object.entries(SEARCH_ATTRIBUTES).map(([name, key]) => [name, typedSearchAttributes.get(key)]);
    expect(Object.fromEntries(found)).toEqual({
      StigmerAgent: "agt-1",
      StigmerSession: undefined,
      StigmerOrg: "acme",
      StigmerPhase: "EXECUTION_PAUSED",
    });
    await handle.signal("cancel", "enough");
    await endOf(handle);
    expect((await handle.describe()).typedSearchAttributes.get(SEARCH_ATTRIBUTES.StigmerPhase)).toBe(
      "EXECUTION_CANCELLED",
    );
  });

  it("frees a session's sandbox, again when that failed", async () => {
    const queue = world.newQueue();
    const calls: unknown[] = [];
    await world.startRunner(queue, {
      CleanupSandbox: async (sandboxId: string, context: CleanupContext) => {
        calls.push([sandboxId, context.sessionId, context.workspaceDir, context.sandboxType, context.attempt]);
        if (calls.length === 1) throw new Error("Docker is away.");
      },
    });
    const task = create(CleanupSandboxTaskSchema, {
      sandboxId: "box-1",
      sessionId: "ses-1",
      workspaceDir: "/w",
      sandboxType: SandboxType.DOCKER,
    });
    await world.client.workflow.execute(CLEANUP_SANDBOX_WORKFLOW, {
      workflowId: "cleanup-1",
      taskQueue: world.workflowQueue,
      args: [task, { runnerTaskQueue: queue, retryDelayMs: 1 }],
    });
    expect(calls).toEqual([
      ["box-1", "ses-1", "/w", SandboxType.DOCKER, 1],
      ["box-1", "ses-1", "/w", SandboxType.DOCKER, 2],
    ]);
  });
});

function metadataOf(payload: Payload | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(payload?.metadata ?? {}).map(([key, value]) => [key, text(value)]));
}
