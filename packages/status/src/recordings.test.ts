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
import { conclude, moment, readRecording, recordings, replay } from "./__fixtures__/replay.ts";
import { type AgentEvent, createReducer, createStatusFold, isTerminal, mergeDeltas, type Reducer } from "./index.ts";
import { isRecord } from "./read-content.ts";

const delta = (changes: StatusChange[]): StatusDelta => create(StatusDeltaSchema, { changes });

/** What a row says, without its times. */
function said(row: object): string {
  return JSON.stringify(row, (key, value: unknown) => (/At$|^timestamp$/.test(key) ? undefined : value));
}

/** Whether a message is taken back and said anew, which moves it to the end when it comes twice. */
function beginsAnew({ changes }: StatusDelta): boolean {
  const removed = changes.map(({ change }) => (change.case === "messageRemoved" ? change.value.messageId : ""));
  return changes.some(({ change }) => change.case === "messageStarted" && removed.includes(change.value.messageId));
}

/** Whether a model is in the middle of a message before this event: an agent does not rest there. */
function speaking(events: readonly AgentEvent[], at: number): boolean {
  const ended = new Set(events.slice(0, at).flatMap(({ mode, data }) => (mode === "updates" ? messageIds(data) : [])));
  const begun = events.slice(0, at).flatMap(({ mode, data }) => (mode === "messages" ? messageIds(data) : []));
  return begun.some((id) => !ended.has(id));
}

/** The ids of the messages of models that an event holds. */
function messageIds(data: unknown): string[] {
  const found: string[] = [];
  JSON.stringify(data, (_, value: unknown) => {
    if (isRecord(value) && value["type"] === "ai" && typeof value["id"] === "string") found.push(value["id"]);
    return value;
  });
  return found;
}

function isRunningTask({ mode, data }: AgentEvent, { status }: Reducer): boolean {
  if (mode !== "tools" || !isRecord(data) || data["event"] !== "on_tool_start") return false;
  const row = status.toolCalls.find(({ id }) => id === data["toolCallId"]);
  return row?.name === "task" && row.status === ToolCallStatus.TOOL_CALL_RUNNING;
}

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
        const repeated = sent.flatMap((each) => (beginsAnew(each) ? [each] : [each, each]));
        expect(equals(AgentExecutionStatusSchema, fold(repeated), reducer.status)).toBe(true);
        const k = cut % (sent.length + 1);
        const resumed = fold(sent.slice(k), fold(sent.slice(0, k)));
        expect(equals(AgentExecutionStatusSchema, resumed, reducer.status)).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  test("every event that is no piece of text may come twice", () => {
    const twice = recording.events.flatMap((event, at) => {
      const once = { event, time: at + 1 };
      return "mode" in event && event.mode === "messages" ? [once] : [once, once];
    });
    const events = twice.map(({ event }) => event);
    const again = replay(
      { ...recording, events },
      twice.map(({ time }) => time),
    );
    expect(again.reducer.status).toEqual(reducer.status);
  });

  test("each call is one row, in its message and in the list, and none is left open by an end", () => {
    const { messages, toolCalls, phase } = reducer.status;
    const inMessages = messages.flatMap((message) => message.toolCalls);
    expect(inMessages.map(({ id }) => id).sort()).toEqual(toolCalls.map(({ id }) => id).sort());
    expect(new Set(toolCalls.map(({ id }) => id)).size).toBe(toolCalls.length);
    const open = toolCalls.filter(
      ({ status, completedAt }) => status <= ToolCallStatus.TOOL_CALL_RUNNING || completedAt === "",
    );
    const rests = recording.outcome.kind === "paused";
    // At rest are tasks, and what their sub-agents have asked for.
    const atRest = open.filter(({ name, subAgentId }) => name === "task" || subAgentId !== "");
    expect(open.map((call) => call.name)).toEqual(rests ? atRest.map((call) => call.name) : []);
    expect(isTerminal(phase)).toBe(!rests);
  });

  test("a pause between any two steps of the agent, in another runner or not, leaves only its notice", () => {
    const { executionId, message, outcome } = recording;
    const events = recording.events.filter((event) => "mode" in event);
    if (events.length < recording.events.length) return;
    const end = moment(events.length + 1);
    const steps = events.flatMap(({ mode, namespace }, at) =>
      mode === "updates" && namespace.length === 0 && !speaking(events, at + 1) ? [at + 1] : [],
    );
    for (const cut of steps) {
      const before = createReducer({ executionId, message });
      before.start(moment(0));
      for (const [at, event] of events.slice(0, cut).entries()) before.reduce(event, moment(at + 1));
      const calls = structuredClone(before.status.toolCalls);
      before.pause("Wait.", moment(cut));
      expect(before.pause("Wait once more.", moment(cut))).toEqual([]);
      expect(before.reduce(events[cut] ?? events[0]!, moment(cut))).toEqual([]);
      expect(before.status.phase).toBe(ExecutionPhase.EXECUTION_PAUSED);
      expect(before.status).toMatchObject({ error: "", completedAt: "" });
      expect(before.status.toolCalls).toEqual(calls);

      const after = createReducer({ executionId, message, resumeFrom: before.status });
      after.start(moment(cut));
      expect(after.status.phase).toBe(ExecutionPhase.EXECUTION_IN_PROGRESS);
      // The agent begins the tools anew that had begun.
      for (const event of events.slice(0, cut).filter((event) => isRunningTask(event, before))) {
        after.reduce(event, moment(cut));
      }
      for (const [at, event] of events.slice(cut).entries()) after.reduce(event, moment(cut + at + 1));
      conclude(after, outcome, end);
      const withoutNotice = after.status.messages.filter(({ id }) => id !== `${executionId}-paused-1`);
      expect(withoutNotice.map(said)).toEqual(
        reducer.status.messages.map((each) => said({ ...each, id: each.id.replace(/-paused-1$/, "-paused-2") })),
      );
      expect(after.status.toolCalls.map(said)).toEqual(reducer.status.toolCalls.map(said));
      expect(after.status.phase).toBe(reducer.status.phase);
    }
  });

  test("no delta holds half a character", () => {
    const texts = steps.flat().map(({ change }) => (change.case === "textAppended" ? change.value.text : ""));
    expect(texts.filter((text) => !text.isWellFormed())).toEqual([]);
  });

  test("events that went through LangChain's own JSON read the same", () => {
    const enveloped = JSON.parse(JSON.stringify(recording.events), (_, value: unknown) => {
      if (typeof value !== "object" || value === null || !("type" in value) || !("content" in value)) return value;
      const names: Record<string, string> = { ai: "AIMessageChunk", tool: "ToolMessage", human: "HumanMessage" };
      const { type, ...kwargs } = value;
      const name = names[String(type)];
      if (name === undefined) return value;
      return {
        lc: 1,
        type: "constructor",
        id: ["langchain_core", "messages", name],
        kwargs,
      };
    }) as typeof recording.events;
    expect(replay({ ...recording, events: enveloped }).reducer.status).toEqual(reducer.status);
  });
});
