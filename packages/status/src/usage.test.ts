import { create, toBinary } from "@bufbuild/protobuf";
import { AgentExecutionStatusSchema, type StatusChange, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { moment } from "./__fixtures__/replay.ts";
import type { AgentEvent } from "./agent-event.ts";
import { createReducer, type Reducer, type ReducerOptions } from "./create-reducer.ts";
import { mergeDeltas } from "./merge-deltas.ts";

type Fields = Record<string, unknown>;
const model = { ls_provider: "openai", ls_model_name: "gpt-5", langgraph_node: "model_request" };
const usage = (input_tokens: number, output_tokens: number): Fields => ({
  usage_metadata: { input_tokens, output_tokens },
});

const piece = (id: string, content: string, more: Fields = {}): AgentEvent => ({
  namespace: ["model_request:1"],
  mode: "messages",
  data: [{ type: "ai", id, content, tool_call_chunks: [], ...more }, model],
});
const whole = (id: string, content: string, more: Fields = {}): AgentEvent => ({
  namespace: [],
  mode: "updates",
  data: { model_request: { messages: [{ type: "ai", id, content, ...more }] } },
});
const calls = (id: string, name = "ls"): Fields => ({ tool_calls: [{ id, name, args: { path: "/src/app" } }] });
const starts = (toolCallId: string, name = "ls"): AgentEvent => ({
  namespace: [`tools:${toolCallId}`],
  mode: "tools",
  data: { event: "on_tool_start", toolCallId, name, input: "{}" },
});
const result = (id: string, content: string): AgentEvent => ({
  namespace: [],
  mode: "updates",
  data: { tools: { messages: [{ type: "tool", tool_call_id: id, name: "ls", content }] } },
});

function begin(options: Partial<ReducerOptions> = {}): Reducer {
  const reducer = createReducer({ executionId: "aex-1", message: "Go", ...options });
  reducer.start(moment(0));
  return reducer;
}
const cases = (changes: readonly StatusChange[]): (string | undefined)[] => changes.map(({ change }) => change.case);

describe("what a model call consumed", () => {
  test("stands in its message and in the run, and is told when the call has ended", () => {
    const reducer = begin();
    const streamed = [piece("m", "I "), piece("m", "look.", usage(1000, 100))].flatMap((event) =>
      reducer.reduce(event, moment(1)),
    );
    expect(cases(streamed)).toEqual(["messageStarted", "textAppended", "textAppended"]);
    const ended = reducer.reduce(whole("m", "I look.", usage(1000, 100)), moment(2));
    expect(cases(ended)).toEqual(["messageUsage", "usage"]);
    const spent = { inputTokens: 1000, outputTokens: 100, costMicroUsd: 2250 };
    expect(reducer.status.messages[1]?.usage).toMatchObject({ model: "gpt-5", ...spent });
    expect(reducer.status.usage).toMatchObject({ ...spent, modelCalls: 1 });
    expect(reducer.reduce(whole("m", "I look.", usage(1000, 100)), moment(3))).toEqual([]);
  });

  test("is priced by the model that answered, and by the user's prices", () => {
    const answered = { ...usage(1000, 0), response_metadata: { model_name: "my-model-v2" } };
    const reducer = begin({ prices: { "my-model": { input: 7, output: 0 } } });
    reducer.reduce(piece("m", "a", usage(1000, 0)), moment(1));
    reducer.reduce(whole("m", "a", answered), moment(2));
    expect(reducer.status.messages[1]?.usage).toMatchObject({ model: "my-model-v2", costMicroUsd: 7000 });
  });

  test("adds up over runners, and a call that the last one had not told is told by the next", () => {
    const before = begin();
    before.reduce(piece("m", "a", usage(10, 1)), moment(1));
    before.reduce(whole("m", "a", calls("c")), moment(2));
    before.reduce(piece("n", "b", usage(20, 2)), moment(3));
    const reducer = begin({ resumeFrom: before.status });
    const human = { type: "human", id: "aex-1", content: "Go" };
    const held = [human, { type: "ai", id: "m", content: "a", ...calls("c"), ...usage(10, 1) }];
    reducer.resume([...held, { type: "ai", id: "n", content: "b", ...usage(20, 2) }], moment(4));
    expect(reducer.status.usage).toMatchObject({ inputTokens: 30, outputTokens: 3, modelCalls: 2 });
    expect(reducer.status.messages.map((message) => message.usage?.inputTokens)).toEqual([undefined, 10, 20]);
  });

  test("of a call that is cut off counts with the end of the run", () => {
    const reducer = begin();
    reducer.reduce(piece("m", "half", usage(10, 1)), moment(1));
    expect(reducer.status.usage).toBeUndefined();
    reducer.finish({ kind: "cancelled", reason: "Enough." }, moment(2));
    expect(reducer.status.usage).toMatchObject({ inputTokens: 10, outputTokens: 1, modelCalls: 1 });
  });
});

test("tools count when they start, planning does not, and one that goes on elsewhere counts once", () => {
  const before = begin();
  before.reduce(whole("m", "", { tool_calls: ["c", "d"].map((id) => ({ id, name: "ls", args: {} })) }), moment(1));
  for (const event of [starts("c"), starts("c"), starts("w", "write_todos")]) before.reduce(event, moment(2));
  expect(before.status.usage).toMatchObject({ toolCalls: 1 });
  const reducer = begin({ resumeFrom: before.status });
  for (const event of [starts("c"), starts("d")]) reducer.reduce(event, moment(3));
  expect(reducer.status.usage).toMatchObject({ toolCalls: 2 });
});

describe("times", () => {
  test("to the first token, of the longest silence, and at work", () => {
    const reducer = begin();
    reducer.reduce(piece("m", ""), moment(2));
    reducer.reduce(piece("m", "I"), moment(3));
    reducer.reduce(whole("m", "I", calls("c")), moment(4));
    reducer.reduce(starts("c"), moment(5));
    // Nothing that could be shown.
    reducer.reduce({ namespace: [], mode: "custom", data: "x" }, moment(8));
    reducer.reduce(result("c", "a"), moment(15));
    reducer.finish({ kind: "completed" }, moment(17));
    const times = { timeToFirstTokenMs: 3000, longestSilenceMs: 10_000, activeMs: 17_000 };
    expect(reducer.status.usage).toMatchObject(times);
  });

  test("do not count rest", () => {
    const before = begin();
    before.reduce(piece("m", "I"), moment(3));
    before.reduce(whole("m", "I"), moment(4));
    before.pause("Wait.", moment(5));
    expect(before.status.usage).toMatchObject({ activeMs: 5000, longestSilenceMs: 3000 });
    const reducer = createReducer({ executionId: "aex-1", message: "Go", resumeFrom: before.status });
    reducer.start(moment(1000));
    reducer.finish({ kind: "completed" }, moment(1002));
    expect(reducer.status.usage).toMatchObject({ activeMs: 7000, longestSilenceMs: 3000, timeToFirstTokenMs: 3000 });
    before.finish({ kind: "cancelled", reason: "Enough." }, moment(2000));
    expect(before.status.usage).toMatchObject({ activeMs: 5000 });
  });

  test("never run backwards, whatever the clock does", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(100), { minLength: 1, maxLength: 20 }), (times) => {
        const reducer = begin();
        let last = 0;
        for (const [n, at] of times.entries()) {
          reducer.reduce(whole(`m${n}`, "a", usage(1, 1)), moment(at));
          const { activeMs = 0, longestSilenceMs = 0 } = reducer.status.usage ?? {};
          expect(activeMs).toBeGreaterThanOrEqual(0);
          expect(longestSilenceMs).toBeGreaterThanOrEqual(last);
          last = longestSilenceMs;
        }
      }),
    );
  });
});

describe("what changes cost on the wire", () => {
  const word = fc.string({ minLength: 3, maxLength: 12 });
  const turn = fc.record({
    words: fc.array(word, { minLength: 20, maxLength: 200 }),
    result: fc.string({ minLength: 100, maxLength: 2000 }),
  });

  test("all changes of a run that only adds are at most 1.2 times its status, sent as they come every ten events", () => {
    fc.assert(
      fc.property(fc.array(turn, { minLength: 1, maxLength: 10 }), (turns) => {
        const reducer = createReducer({ executionId: "aex-1", message: "Go" });
        const steps = [reducer.start(moment(0))];
        for (const [n, { words, result: output }] of turns.entries()) {
          const id = `msg_${String(n).padStart(24, "0")}`;
          const callId = `toolu_${String(n).padStart(24, "0")}`;
          const events = [
            ...words.map((text) => piece(id, text)),
            piece(id, "", usage(1000 * n + 500, words.length)),
            whole(id, words.join(""), calls(callId)),
            starts(callId),
            result(callId, output),
          ];
          for (const event of events) steps.push(reducer.reduce(event, moment(n)));
        }
        steps.push(reducer.finish({ kind: "completed" }, moment(turns.length)));
        let sent = 0;
        for (let at = 0; at < steps.length; at += 10) {
          const deltas = steps.slice(at, at + 10).map((changes) => create(StatusDeltaSchema, { changes }));
          sent += toBinary(StatusDeltaSchema, mergeDeltas(...deltas)).length;
        }
        const size = toBinary(AgentExecutionStatusSchema, reducer.status).length;
        expect(sent / size).toBeLessThanOrEqual(1.2);
      }),
      { numRuns: 30 },
    );
  });

  test("a token costs its text and its place, and no counts, however long the run is", () => {
    const reducer = begin();
    const sizes = Array.from({ length: 10_000 }, (_, n) => {
      const changes = reducer.reduce(piece("m", "abc", usage(n === 0 ? 1 : 0, 1)), moment(n));
      return toBinary(StatusDeltaSchema, create(StatusDeltaSchema, { changes })).length;
    });
    expect(Math.max(...sizes.slice(1))).toBeLessThan(20);
  });
});
