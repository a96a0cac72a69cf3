import { create, equals } from "@bufbuild/protobuf";
import {
  AgentExecutionStatusSchema,
  ExecutionPhase,
  MessageType,
  type StatusChange,
  StatusDeltaSchema,
  SubAgentStatus,
  TodoStatus,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { moment } from "./__fixtures__/replay.ts";
import type { AgentEvent } from "./agent-event.ts";
import { createReducer, type Reducer } from "./create-reducer.ts";
import { createStatusFold } from "./status-fold.ts";

const model = ["model_request:1"];
const root = { langgraph_node: "model_request" };
type Fields = Record<string, unknown>;

const piece = (id: string, content: unknown, more: Fields = {}): AgentEvent => ({
  namespace: model,
  mode: "messages",
  data: [{ type: "ai", id, content, tool_call_chunks: [], ...more }, root],
});
const whole = (id: string, content: unknown, more: Fields = {}): AgentEvent => ({
  namespace: [],
  mode: "updates",
  data: { model_request: { messages: [{ type: "ai", id, content, ...more }] } },
});
const toolCall = (id: string, name: string, args: Fields = {}): Fields => ({ id, name, args });
const asks = (id: string, ...calls: Fields[]): AgentEvent => whole(id, "", { tool_calls: calls });
const tools = (
  event: string,
  toolCallId: string,
  more: Fields = {},
  namespace = [`tools:${toolCallId}`],
): AgentEvent => ({
  namespace,
  mode: "tools",
  data: { event: `on_tool_${event}`, toolCallId, name: "ls", input: "{}", ...more },
});
const result = (id: string, content: unknown, more: Fields = {}): AgentEvent => ({
  namespace: [],
  mode: "updates",
  data: { tools: { messages: [{ type: "tool", tool_call_id: id, name: "ls", content, ...more }] } },
});
const todos = (...list: Fields[]): AgentEvent => ({ namespace: [], mode: "updates", data: { tools: { todos: list } } });

function begin(resumeFrom?: Reducer["status"]): Reducer {
  const reducer = createReducer({ executionId: "aex-1", message: "Go", resumeFrom });
  reducer.start(moment(0));
  return reducer;
}

function after(...events: AgentEvent[]): Reducer {
  const reducer = begin();
  for (const [n, event] of events.entries()) reducer.reduce(event, moment(n + 1));
  return reducer;
}

const said = ({ status }: Reducer): string[] =>
  status.messages.filter(({ type }) => type === MessageType.MESSAGE_AI).map(({ content }) => content);

describe("text", () => {
  test("half a character waits for its other half, wherever a stream is cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("a", "é", "\ud83d", "\ude00", "👍🏽"), { maxLength: 10 }),
        fc.array(fc.nat(20)),
        (units, cuts) => {
          const text = units.join("");
          const at = [0, ...cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b), text.length];
          const pieces = at.slice(1).map((end, n) => text.slice(at[n], end));
          const reducer = begin();
          const changes = pieces.flatMap((each) => reducer.reduce(piece("m", each), moment(1)));
          changes.push(...reducer.finish({ kind: "completed" }, moment(2)));
          expect(said(reducer)).toEqual([text.toWellFormed()]);
          const texts = changes.map(({ change }) => (change.case === "textAppended" ? change.value.text : ""));
          expect(texts.filter((each) => !each.isWellFormed())).toEqual([]);
        },
      ),
    );
  });

  test.each([
    [
      "Anthropic blocks",
      [
        { type: "thinking", thinking: "hm" },
        { type: "text", text: "yes" },
      ],
      {},
    ],
    [
      "LangChain blocks",
      [
        { type: "reasoning", reasoning: "hm" },
        { type: "text", text: "yes" },
      ],
      {},
    ],
    [
      "OpenAI summaries",
      [
        { type: "reasoning", summary: [{ type: "summary_text", text: "hm" }] },
        { type: "text", text: "yes" },
      ],
      {},
    ],
    [
      "OpenAI summaries that are told twice",
      [
        { type: "reasoning", reasoning: "hm" },
        { type: "text", text: "yes" },
      ],
      { additional_kwargs: { reasoning: { type: "reasoning", summary: [{ type: "summary_text", text: "hm" }] } } },
    ],
    ["Ollama's field beside the text", "yes", { additional_kwargs: { reasoning_content: "hm" } }],
  ])("thinking is kept apart in %s", (_form, content, more) => {
    expect(after(piece("m", content, more), whole("m", content, more)).status.messages[1]).toMatchObject({
      content: "yes",
      reasoning: "hm",
    });
  });

  test("a model that does not stream says its text by its update, or at once as a whole message", () => {
    expect(said(after(whole("m", "all")))).toEqual(["all"]);
    const atOnce: AgentEvent = {
      namespace: model,
      mode: "messages",
      data: [{ type: "ai", id: "m", content: "all" }, root],
    };
    expect(said(after(atOnce, atOnce, whole("m", "all")))).toEqual(["all"]);
  });

  test("each turn is a message of its own", () => {
    expect(said(after(piece("m1", "one"), whole("m1", "one"), piece("m2", "two"), whole("m2", "two")))).toEqual([
      "one",
      "two",
    ]);
  });

  test("pieces that came twice or not at all are put right when the message is complete", () => {
    expect(said(after(piece("m", "ab"), piece("m", "ab"), whole("m", "abc")))).toEqual(["abc"]);
    expect(said(after(piece("m", "ab"), whole("m", "abc"), piece("m", "c")))).toEqual(["abc"]);
  });

  test("an attempt that was retried, or a summary for the model itself, goes when the node ends without it", () => {
    const reducer = after(piece("half", "I thi"), piece("m", "I think"), whole("m", "I think"));
    expect(reducer.status.messages.map(({ id }) => id)).toEqual(["aex-1", "m"]);
  });

  test("a model that a tool or a middleware calls does not speak to the user, but costs", () => {
    const data = [
      { type: "ai", id: "x", content: "aside", tool_call_chunks: [], usage_metadata: { input_tokens: 3 } },
      { langgraph_node: "tools" },
    ];
    const reducer = after({ namespace: ["tools:1"], mode: "messages", data }, todos());
    expect(said(reducer)).toEqual([]);
    expect(reducer.status.usage).toMatchObject({ inputTokens: 3, modelCalls: 1 });
  });

  test("a message that a middleware writes is said, and no model call", () => {
    const message = { type: "ai", id: "limit", content: "Model call limits exceeded." };
    const reducer = after({
      namespace: [],
      mode: "updates",
      data: { "ModelCallLimit.before_model": { messages: [message] } },
    });
    expect(said(reducer)).toEqual(["Model call limits exceeded."]);
    expect(reducer.status.usage).toBeUndefined();
  });

  test("a history that is written anew brings nothing of earlier executions back", () => {
    const rewrite = [
      { type: "remove", id: "__remove_all__" },
      { type: "ai", id: "old", content: "before", tool_calls: [toolCall("c0", "ls")] },
      { type: "tool", tool_call_id: "c0", name: "ls", content: "gone" },
    ];
    const reducer = after({
      namespace: [],
      mode: "updates",
      data: { "patchToolCalls.before_agent": { messages: rewrite } },
    });
    expect(reducer.status.messages).toHaveLength(1);
    expect(reducer.status.toolCalls).toEqual([]);
  });
});

describe("tool calls", () => {
  const call = (reducer: Reducer): unknown => reducer.status.toolCalls[0];

  test("appear with the message, run, and end when their result has gone through the middleware", () => {
    const reducer = begin();
    reducer.reduce(asks("m", toolCall("c", "execute", { command: "cd x && kubectl get pods" })), moment(1));
    expect(call(reducer)).toMatchObject({
      status: ToolCallStatus.TOOL_CALL_PENDING,
      name: "execute",
      componentMetadata: { componentType: "terminal", metadata: { display: "kubectl get" } },
      startedAt: "",
    });
    reducer.reduce(tools("start", "c", { name: "execute" }), moment(2));
    expect(call(reducer)).toMatchObject({ status: ToolCallStatus.TOOL_CALL_RUNNING, startedAt: moment(2) });
    expect(reducer.reduce(tools("end", "c", { output: { type: "tool", content: "raw secret" } }), moment(3))).toEqual(
      [],
    );
    reducer.reduce(result("c", "masked"), moment(4));
    expect(call(reducer)).toMatchObject({
      status: ToolCallStatus.TOOL_CALL_COMPLETED,
      result: "masked",
      completedAt: moment(3),
    });
    expect(reducer.reduce(result("c", "again"), moment(5))).toEqual([]);
  });

  test("fail with the text that the model gets, without stacks that name this host", () => {
    const text = "Error: bad\n    at f (file:///srv/app/x.js:1:2)\n    at async g (node:internal/y:3:4)\nFix it.";
    const reducer = after(asks("m", toolCall("c", "ls")), result("c", text, { status: "error" }));
    expect(call(reducer)).toMatchObject({
      status: ToolCallStatus.TOOL_CALL_FAILED,
      error: "Error: bad\nFix it.",
      result: "",
    });
  });

  test("whose outcome nobody knows say so, with what the model is told", () => {
    const marker = { status: "error", additional_kwargs: { tool_call_outcome: "unknown" } };
    const reducer = after(asks("m", toolCall("c", "ls")), tools("start", "c"), result("c", "Not repeated.", marker));
    expect(call(reducer)).toMatchObject({
      status: ToolCallStatus.TOOL_CALL_OUTCOME_UNKNOWN,
      error: "Not repeated.",
      result: "",
      completedAt: moment(3),
    });
    expect(reducer.reduce(result("c", "late"), moment(5))).toEqual([]);
    reducer.finish({ kind: "failed", error: "x" }, moment(6));
    expect(call(reducer)).toMatchObject({ status: ToolCallStatus.TOOL_CALL_OUTCOME_UNKNOWN });
  });

  test("of a sub-agent have a row when nobody knows their outcome, and belong to no message", () => {
    const inside = { langgraph_node: "tools" };
    const marker = { status: "error", additional_kwargs: { tool_call_outcome: "unknown" } };
    const said = (id: string, more: Fields): AgentEvent => ({
      namespace: ["tools:task", `tools:${id}`],
      mode: "messages",
      data: [{ type: "tool", tool_call_id: id, name: "execute", content: `About ${id}.`, ...more }, inside],
    });
    const reducer = after(asks("m", toolCall("t", "task")), said("known", {}), said("lost", marker));
    expect(reducer.status.toolCalls.map(({ id }) => id)).toEqual(["t", "lost"]);
    expect(reducer.status.toolCalls[1]).toMatchObject({
      name: "execute",
      status: ToolCallStatus.TOOL_CALL_OUTCOME_UNKNOWN,
      error: "About lost.",
    });
    expect(reducer.status.messages.flatMap(({ toolCalls }) => toolCalls.map(({ id }) => id))).toEqual(["t"]);
    expect(reducer.reduce(said("lost", marker), moment(9))).toEqual([]);
  });

  test.each([
    [
      "blocks",
      [
        { type: "text", text: "a" },
        { type: "image", data: "…" },
      ],
      "a[image]",
    ],
    ["an MCP result's JSON", '{"type":"text","text":"hello","structuredContent":{"x":1}}', "hello"],
    ["an object", { x: 1 }, '{"x":1}'],
  ])("give the text of %s", (_form, content, text) => {
    expect(call(after(asks("m", toolCall("c", "ls")), result("c", content)))).toMatchObject({ result: text });
  });

  test.each([
    [{ input: '{"path":"/"}' }, { path: "/" }],
    [{ kwargs: { path: "/" } }, { path: "/" }],
    [{ type: "tool_call", id: "c", name: "ls", args: { path: "/" } }, { path: "/" }],
    [{ path: "/" }, { path: "/" }],
    [{ input: "text" }, { input: "text" }],
  ])("unwrap %j", (args, unwrapped) => {
    expect(call(after(asks("m", toolCall("c", "ls", args))))).toMatchObject({ args: unwrapped });
  });

  test("with arguments that no parser could read are rows too", () => {
    const more = { invalid_tool_calls: [{ id: "c", name: "ls", args: '{"path', error: "Malformed args." }] };
    expect(call(after(whole("m", "", more)))).toMatchObject({ id: "c", args: { input: '{"path' } });
  });

  test("whose announcement was missed belong to what the model said last", () => {
    const reducer = after(whole("m", "hi"), tools("start", "c", { input: '{"path":"/"}' }), result("c", "a"));
    expect(reducer.status.messages[1]?.toolCalls).toMatchObject([{ id: "c", args: { path: "/" }, result: "a" }]);
  });
});

describe("what people say to a run under way", () => {
  const heard = (...messages: Fields[]): AgentEvent => ({
    namespace: [],
    mode: "updates",
    data: { inbox: { messages } },
  });
  const human = (id: string, content: unknown): Fields => ({ type: "human", id, content });
  const rows = ({ status }: Reducer): string[] =>
    status.messages.map(({ id, type, content }) => `${MessageType[type]} ${id}: ${content}`);

  test("is a row in its place, once", () => {
    const once = heard(human("aex-1/a", "Also\ud800"), human("aex-1/b", [{ type: "text", text: "And" }]));
    const reducer = after(whole("m1", "one"), once, whole("m2", "two"), once);
    expect(rows(reducer)).toEqual([
      "MESSAGE_HUMAN aex-1: Go",
      "MESSAGE_AI m1: one",
      "MESSAGE_HUMAN aex-1/a: Also\ufffd",
      "MESSAGE_HUMAN aex-1/b: And",
      "MESSAGE_AI m2: two",
    ]);
  });

  test("is no row when it was said to another run, to a sub-agent, or comes from a node that rewrites its own", () => {
    const inside = heard(human("aex-1/a", "Also"));
    const reducer = after(
      heard(human("aex-2/a", "x"), human("aex-1", "Go, evicted"), human("aex-11/a", "x"), human("", "x")),
      { ...inside, namespace: ["tools:t"] },
    );
    expect(rows(reducer)).toEqual(["MESSAGE_HUMAN aex-1: Go"]);
  });

  test("is taken from the checkpoint when the runner before had not reported it, and is heard anew without one", () => {
    const thread = [
      human("aex-0", "Earlier"),
      human("aex-0/a", "Earlier, too"),
      human("aex-1", "Go"),
      { type: "ai", id: "m1", content: "one" },
      human("aex-1/a", "Also"),
      { type: "ai", id: "m2", content: "two" },
    ];
    const reported = after(whole("m1", "one"));
    const reducer = begin(reported.status);
    reducer.resume(thread, moment(20));
    const expected = [
      "MESSAGE_HUMAN aex-1: Go",
      "MESSAGE_AI m1: one",
      "MESSAGE_HUMAN aex-1/a: Also",
      "MESSAGE_AI m2: two",
    ];
    expect(rows(reducer)).toEqual(expected);
    expect(begin(reducer.status).resume(thread, moment(21))).toEqual([]);

    const ahead = after(whole("m1", "one"), heard(human("aex-1/a", "Also")), piece("half", "tw"));
    const behind = begin(ahead.status);
    behind.resume(thread.slice(0, 4), moment(20));
    expect(rows(behind)).toEqual(expected.slice(0, 2));
    behind.reduce(heard(human("aex-1/a", "Also")), moment(21));
    behind.reduce(whole("m2", "two"), moment(22));
    expect(rows(behind)).toEqual(expected);
  });
});

test("the plan is todos with ids that last, and no tool call", () => {
  const reducer = after(
    asks("m", toolCall("p", "write_todos", { todos: [] })),
    tools("start", "p", { name: "write_todos" }),
    todos({ content: "A", status: "in_progress" }, { content: "B", status: "pending" }),
    result("p", "Updated", { name: "write_todos" }),
    todos(
      { content: "A", status: "completed" },
      { content: "B2", status: "pending" },
      { content: "C", status: "pending" },
    ),
  );
  expect(reducer.status.toolCalls).toEqual([]);
  expect(Object.values(reducer.status.todos)).toMatchObject([
    { id: "todo-001", content: "A", status: TodoStatus.TODO_COMPLETED, createdAt: moment(3), updatedAt: moment(5) },
    { id: "todo-002", content: "B2", createdAt: moment(3), updatedAt: moment(5) },
    { id: "todo-003", content: "C", createdAt: moment(5) },
  ]);
  const same = todos(
    { content: "A", status: "completed" },
    { content: "B2", status: "pending" },
    { content: "C", status: "pending" },
  );
  expect(reducer.reduce(same, moment(6))).toEqual([]);
});

describe("tokens", () => {
  const usage = (input_tokens: number, output_tokens: number): Fields => ({
    usage_metadata: {
      input_tokens,
      output_tokens,
      input_token_details: { cache_read: 4 },
      output_token_details: { reasoning: 1 },
    },
  });

  test("of pieces add up, of the whole message count when its pieces had none, and once", () => {
    const reducer = after(
      piece("m", "a", usage(10, 1)),
      piece("m", "b", usage(0, 2)),
      whole("m", "ab", usage(10, 3)),
      whole("n", "c", usage(7, 7)),
    );
    expect(reducer.status.usage).toMatchObject({ inputTokens: 17, outputTokens: 10, modelCalls: 2 });
  });

  test("of Anthropic's pieces are running counts", () => {
    const anthropic = (event: AgentEvent): AgentEvent => ({
      ...event,
      data: [(event.data as unknown[])[0], { ...root, ls_provider: "anthropic" }],
    });
    const reducer = after(
      anthropic(piece("m", "a", usage(10, 1))),
      anthropic(piece("m", "b", usage(0, 20))),
      whole("m", "ab", usage(10, 21)),
    );
    expect(reducer.status.usage).toMatchObject({
      inputTokens: 10,
      outputTokens: 20,
      cachedInputTokens: 4,
      reasoningTokens: 1,
    });
  });
});

describe("the end", () => {
  const running = (): Reducer =>
    after(
      asks("m", toolCall("run", "ls"), toolCall("wait", "ls"), toolCall("threw", "ls"), toolCall("sub", "task")),
      tools("start", "run"),
      tools("start", "threw"),
      tools("error", "threw", { error: { message: "boom" } }),
    );
  const statuses = ({ status }: Reducer): Record<string, string> =>
    Object.fromEntries(status.toolCalls.map((call) => [call.id, `${ToolCallStatus[call.status]} ${call.error}`]));

  test("by failure closes what runs as failed, says why, and stays", () => {
    const reducer = running();
    reducer.finish({ kind: "failed", error: "The model is overloaded." }, moment(9));
    expect(statuses(reducer)).toEqual({
      run: "TOOL_CALL_FAILED The model is overloaded.",
      wait: "TOOL_CALL_CANCELLED The run failed before this call started.",
      threw: "TOOL_CALL_FAILED boom",
      sub: "TOOL_CALL_CANCELLED The run failed before this call started.",
    });
    expect(reducer.status).toMatchObject({
      phase: ExecutionPhase.EXECUTION_FAILED,
      error: "The model is overloaded.",
      completedAt: moment(9),
    });
    expect(reducer.status.messages.at(-1)).toMatchObject({
      type: MessageType.MESSAGE_SYSTEM,
      content: "The model is overloaded.",
    });
    expect(reducer.status.subAgentExecutions[0]?.status).toBe(SubAgentStatus.SUB_AGENT_CANCELLED);
    expect(reducer.finish({ kind: "completed" }, moment(10))).toEqual([]);
    expect(reducer.reduce(piece("late", "x"), moment(11))).toEqual([]);
  });

  test("by cancellation closes everything as cancelled", () => {
    const reducer = running();
    reducer.finish({ kind: "cancelled", reason: "Stopped by Ada" }, moment(9));
    expect(new Set(Object.values(statuses(reducer)))).toEqual(new Set(["TOOL_CALL_CANCELLED Stopped by Ada"]));
    expect(reducer.status).toMatchObject({ phase: ExecutionPhase.EXECUTION_CANCELLED, error: "Stopped by Ada" });
  });

  test("in order says the phase and the time", () => {
    const reducer = after(whole("m", "done"));
    reducer.finish({ kind: "completed" }, new Date(moment(9)));
    expect(reducer.status).toMatchObject({
      phase: ExecutionPhase.EXECUTION_COMPLETED,
      error: "",
      startedAt: moment(0),
      completedAt: moment(9),
    });
  });
});

describe("a pause", () => {
  test("says why in a message each time, leaves the run's error alone, and is over when a runner starts", () => {
    const first = after(asks("m", toolCall("c", "ls")));
    first.pause("Ada wants to look.", moment(2));
    expect(first.status).toMatchObject({ phase: ExecutionPhase.EXECUTION_PAUSED, error: "", completedAt: "" });
    expect(first.status.toolCalls).toMatchObject([{ status: ToolCallStatus.TOOL_CALL_PENDING }]);
    const second = begin(first.status);
    expect(second.status.phase).toBe(ExecutionPhase.EXECUTION_IN_PROGRESS);
    second.reduce(tools("start", "c"), moment(3));
    second.reduce(result("c", "a.txt"), moment(4));
    second.pause("Once more.", moment(5));
    const third = begin(second.status);
    third.pause("", moment(6));
    expect(third.status.phase).toBe(ExecutionPhase.EXECUTION_PAUSED);
    const last = begin(third.status);
    last.finish({ kind: "completed" }, moment(7));
    expect(last.status).toMatchObject({ phase: ExecutionPhase.EXECUTION_COMPLETED, error: "" });
    const notices = last.status.messages.filter(({ type }) => type === MessageType.MESSAGE_SYSTEM);
    expect(notices.map(({ id, content }) => [id, content])).toEqual([
      ["aex-1-paused-1", "Ada wants to look."],
      ["aex-1-paused-2", "Once more."],
    ]);
  });

  test("can be followed by an end, but never follows one", () => {
    const reducer = after(asks("m", toolCall("c", "ls")), tools("start", "c"));
    reducer.pause("wait", moment(2));
    reducer.finish({ kind: "cancelled", reason: "Stopped by Ada" }, moment(3));
    expect(reducer.status.phase).toBe(ExecutionPhase.EXECUTION_CANCELLED);
    expect(reducer.status.toolCalls).toMatchObject([{ status: ToolCallStatus.TOOL_CALL_CANCELLED }]);
    expect(reducer.pause("wait", moment(4))).toEqual([]);
    const rests = begin().pause("Did the mail go out?", moment(2), { itself: true });
    expect(rests.at(-1)).toMatchObject({
      change: { case: "run", value: { phase: ExecutionPhase.EXECUTION_PAUSED, restsByItself: true } },
    });
  });
});

describe("a run that another runner began", () => {
  const human = { type: "human", id: "aex-1", content: "Go" };
  const old = { type: "ai", id: "old", content: "from an earlier execution" };
  const first = {
    type: "ai",
    id: "m1",
    content: "I look.",
    tool_calls: [toolCall("c1", "ls"), toolCall("c2", "task")],
  };

  const died = (): Reducer =>
    after(
      piece("m1", "I look."),
      whole("m1", "I look.", { tool_calls: first.tool_calls }),
      tools("start", "c1"),
      tools("start", "c2", { name: "task" }),
      piece("m2", "half a sen"),
    );

  test("loses its half-streamed turn and gets the results that the checkpoint holds", () => {
    const reducer = begin(died().status);
    const changes = reducer.resume(
      [old, human, first, { type: "tool", tool_call_id: "c1", name: "ls", content: "a.txt" }],
      moment(20),
    );
    expect(said(reducer)).toEqual(["I look."]);
    expect(reducer.status.toolCalls).toMatchObject([
      { id: "c1", status: ToolCallStatus.TOOL_CALL_COMPLETED, result: "a.txt" },
      { id: "c2", status: ToolCallStatus.TOOL_CALL_RUNNING },
    ]);
    expect(changes.map(({ change }) => change.case)).toEqual(["messageRemoved", "toolCall"]);
    expect(reducer.status.startedAt).toBe(moment(0));

    reducer.reduce(tools("start", "c2", { name: "task" }), moment(21));
    reducer.reduce(result("c2", "found", { name: "task" }), moment(22));
    reducer.reduce(piece("m3", "There."), moment(23));
    reducer.reduce(whole("m3", "There."), moment(24));
    reducer.finish({ kind: "completed" }, moment(25));
    expect(said(reducer)).toEqual(["I look.", "There."]);
    expect(reducer.status.subAgentExecutions).toMatchObject([
      { id: "c2", output: "found", startedAt: moment(4), completedAt: moment(22) },
    ]);
  });

  test("gets what the runner before had not reported any more", () => {
    const reducer = begin(after(piece("m1", "I l")).status);
    reducer.resume(
      [
        old,
        human,
        first,
        { type: "tool", tool_call_id: "c1", name: "ls", content: "a.txt" },
        { type: "ai", id: "m2", content: "So." },
      ],
      moment(20),
    );
    expect(said(reducer)).toEqual(["I look.", "So."]);
    expect(reducer.status.toolCalls.map(({ id, status }) => [id, status])).toEqual([
      ["c1", ToolCallStatus.TOOL_CALL_COMPLETED],
      ["c2", ToolCallStatus.TOOL_CALL_PENDING],
    ]);
  });

  test("without a checkpoint begins anew", () => {
    const reducer = begin(died().status);
    reducer.resume([], moment(20));
    expect(reducer.status.messages.map(({ id }) => id)).toEqual(["aex-1"]);
    expect(reducer.status.toolCalls).toEqual([]);
    expect(reducer.status.subAgentExecutions).toEqual([]);
  });

  test("ends at any point with the same status on both sides of the wire", () => {
    const changes: StatusChange[] = [];
    const before = died();
    const reducer = begin(before.status);
    const fold = createStatusFold(before.status);
    changes.push(
      ...reducer.resume([human, first], moment(20)),
      ...reducer.finish({ kind: "cancelled", reason: "x" }, moment(21)),
    );
    fold.apply(create(StatusDeltaSchema, { changes }));
    expect(equals(AgentExecutionStatusSchema, fold.status, reducer.status)).toBe(true);
  });
});

test.each([
  [null],
  [7],
  [[]],
  [[null, null]],
  [{ tools: [null, { messages: "x" }] }],
  [[{ type: "ai" }, {}]],
  [{ event: "on_tool_start", toolCallId: 3 }],
  [{ event: "on_tool_start", toolCallId: "c", name: "ls", input: "{broken" }],
])("data of an unknown shape (%j) does no harm", (data) => {
  for (const mode of ["messages", "updates", "tools", "custom"] as const) {
    expect(() => after({ namespace: [], mode, data })).not.toThrow();
  }
});

test("event 10,000 costs what event 100 costs", () => {
  const reducer = begin();
  let visits = 0;
  const counting = <T extends object>(list: T): T =>
    new Proxy(list, {
      get(target, key, receiver) {
        visits += 1;
        return Reflect.get(target, key, receiver) as unknown;
      },
    });
  reducer.status.messages = counting(reducer.status.messages);
  reducer.status.toolCalls = counting(reducer.status.toolCalls);
  const turn = (n: number): number => {
    visits = 0;
    const events = [
      piece(`m${n}`, "I "),
      piece(`m${n}`, "look."),
      whole(`m${n}`, "I look.", { tool_calls: [toolCall(`c${n}`, "ls")] }),
      tools("start", `c${n}`),
      result(`c${n}`, "a"),
    ];
    const changes = events.flatMap((event) => reducer.reduce(event, moment(n)));
    return visits * 1000 + changes.length;
  };
  const costs = Array.from({ length: 2000 }, (_, n) => turn(n));
  expect(reducer.status.toolCalls).toHaveLength(2000);
  expect(costs[20]).toBeGreaterThan(0);
  expect(new Set(costs.slice(20))).toEqual(new Set([costs[20]]));
});

test("skills are told once, and anew when they are others", () => {
  const reducer = begin();
  const [git, sql] = ["git", "sql"].map((name) => ({ name, versionHash: "ab", path: `skills/${name}.md` }));
  const list = [git!, { ...sql!, subAgent: "dba" }];
  expect(reducer.skills(list, moment(1))).toHaveLength(1);
  expect(reducer.status.skills).toMatchObject(list);
  expect(reducer.skills(list, moment(2))).toEqual([]);
  const resumed = begin(reducer.status);
  expect(resumed.skills(list, moment(3))).toEqual([]);
  resumed.skills([git!], moment(4));
  expect(resumed.status.skills).toMatchObject([{ name: "git", subAgent: "" }]);
});
