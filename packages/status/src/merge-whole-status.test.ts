import { create } from "@bufbuild/protobuf";
import { AgentExecutionStatusSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { expect, test } from "vitest";
import { filledStatus } from "./__fixtures__/filled-status.ts";
import { mergeWholeStatus } from "./merge-whole-status.ts";

const stored = create(AgentExecutionStatusSchema, {
  phase: ExecutionPhase.EXECUTION_IN_PROGRESS,
  startedAt: "t0",
  messages: [{ id: "m", content: "old" }],
  toolCalls: [{ id: "c" }],
  subAgentExecutions: [{ id: "s" }],
  todos: { a: { id: "a", content: "old" }, b: { id: "b" } },
  revision: 7,
  callbackToken: new Uint8Array([1]),
});

test("what is not carried stays", () => {
  expect(mergeWholeStatus(stored, create(AgentExecutionStatusSchema))).toEqual(stored);
});

test("everything is carried that a runner can say", () => {
  expect(mergeWholeStatus(create(AgentExecutionStatusSchema), filledStatus())).toEqual(filledStatus());
});

test("lists replace, todos merge by key, phase, error and times replace", () => {
  const reported = create(AgentExecutionStatusSchema, {
    phase: ExecutionPhase.EXECUTION_FAILED,
    error: "boom",
    completedAt: "t9",
    messages: [{ content: "new" }],
    todos: { a: { id: "a", content: "new" }, c: { id: "c" } },
    revision: 99,
    callbackToken: new Uint8Array([2]),
  });
  const merged = mergeWholeStatus(stored, reported);
  expect(merged).toMatchObject({
    phase: ExecutionPhase.EXECUTION_FAILED,
    error: "boom",
    startedAt: "t0",
    completedAt: "t9",
  });
  expect(merged.messages.map(({ content }) => content)).toEqual(["new"]);
  expect(merged.toolCalls).toEqual(stored.toolCalls);
  expect(merged.subAgentExecutions).toEqual(stored.subAgentExecutions);
  expect(Object.values(merged.todos).map(({ id, content }) => [id, content])).toEqual([
    ["a", "new"],
    ["b", ""],
    ["c", ""],
  ]);
  expect(merged.revision).toBe(7);
  expect(merged.callbackToken).toEqual(new Uint8Array([1]));
  expect(stored.messages[0]?.content).toBe("old");
});

test("a terminal phase is never left", () => {
  const ended = create(AgentExecutionStatusSchema, { phase: ExecutionPhase.EXECUTION_COMPLETED, completedAt: "t1" });
  const late = create(AgentExecutionStatusSchema, {
    phase: ExecutionPhase.EXECUTION_IN_PROGRESS,
    error: "x",
    messages: [{ content: "late" }],
  });
  expect(mergeWholeStatus(ended, late)).toMatchObject({
    phase: ExecutionPhase.EXECUTION_COMPLETED,
    error: "",
    completedAt: "t1",
    messages: [{ content: "late" }],
  });
});
