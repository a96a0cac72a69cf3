import { create, equals, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import {
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
  type StatusChange,
  type StatusDelta,
  StatusDeltaSchema,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readRecording, recordings, replay } from "./__fixtures__/replay.ts";
import { createStatusFold, mergeDeltas } from "./index.ts";

const delta = (changes: StatusChange[]): StatusDelta => create(StatusDeltaSchema, { changes });

function fold(deltas: readonly StatusDelta[], from?: AgentExecutionStatus): AgentExecutionStatus {
  const folded = createStatusFold(from);
  for (const each of deltas) folded.apply(each);
  return folded.status;
}

describe.each(recordings)("%s", (name) => {
  const recording = readRecording(name);
  const { reducer, steps } = replay(recording);
  const deltas = steps.map(delta);

  test("gives the status on file", async () => {
    const json = toJson(AgentExecutionStatusSchema, reducer.status);
    await expect(`${JSON.stringify(json, undefined, 2)}\n`).toMatchFileSnapshot(`__fixtures__/${name}.status.json`);
  });

  test("its deltas, gone over the wire in any batches, give the reducer's status", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), fc.nat(), (sizes, cut) => {
        const batches: StatusDelta[] = [];
        for (let at = 0, turn = 0; at < deltas.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          batches.push(mergeDeltas(...deltas.slice(at, at + size)));
          at += size;
        }
        const sent = batches.map((each) => fromBinary(StatusDeltaSchema, toBinary(StatusDeltaSchema, each)));
        expect(equals(AgentExecutionStatusSchema, fold(sent), reducer.status)).toBe(true);
        const repeated = sent.flatMap((each) => [each, each]);
        expect(equals(AgentExecutionStatusSchema, fold(repeated), reducer.status)).toBe(true);
        const k = cut % (sent.length + 1);
        const resumed = fold(sent.slice(k), fold(sent.slice(0, k)));
        expect(equals(AgentExecutionStatusSchema, resumed, reducer.status)).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  test("every event that is no piece of text may come twice", () => {
    const events = recording.events.flatMap((event) => (event.mode === "messages" ? [event] : [event, event]));
    const again = replay({ ...recording, events }).reducer.status;
    const withoutTimes = (status: AgentExecutionStatus): string =>
      JSON.stringify(toJson(AgentExecutionStatusSchema, status)).replaceAll(/"\d{4}-[^"]*Z"/g, '"…"');
    expect(withoutTimes(again)).toBe(withoutTimes(reducer.status));
  });

  test("each call is one row, in its message and in the list, and none is left open", () => {
    const { messages, toolCalls, phase } = reducer.status;
    const inMessages = messages.flatMap((message) => message.toolCalls);
    expect(inMessages.map(({ id }) => id).sort()).toEqual(toolCalls.map(({ id }) => id).sort());
    expect(new Set(toolCalls.map(({ id }) => id)).size).toBe(toolCalls.length);
    for (const { status, completedAt } of toolCalls) {
      expect(status).toBeGreaterThan(ToolCallStatus.TOOL_CALL_RUNNING);
      expect(completedAt).not.toBe("");
    }
    expect(phase).toBeGreaterThanOrEqual(ExecutionPhase.EXECUTION_COMPLETED);
  });

  test("no delta holds half a character", () => {
    const texts = steps.flat().map(({ change }) => (change.case === "textAppended" ? change.value.text : ""));
    expect(texts.filter((text) => !text.isWellFormed())).toEqual([]);
  });

  test("events that went through LangChain's own JSON read the same", () => {
    const enveloped = JSON.parse(JSON.stringify(recording.events), (_, value: unknown) => {
      if (typeof value !== "object" || value === null || !("type" in value) || !("content" in value)) return value;
      if (value.type !== "ai" && value.type !== "tool") return value;
      const { type, ...kwargs } = value;
      return {
        lc: 1,
        type: "constructor",
        id: ["langchain_core", "messages", type === "ai" ? "AIMessageChunk" : "ToolMessage"],
        kwargs,
      };
    }) as typeof recording.events;
    expect(replay({ ...recording, events: enveloped }).reducer.status).toEqual(reducer.status);
  });
});
