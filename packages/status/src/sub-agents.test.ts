import { create } from "@bufbuild/protobuf";
import {
  AgentExecutionStatusSchema,
  type StatusChange,
  StatusDeltaSchema,
  SubAgentStatus,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import { expect, test } from "vitest";
import { moment } from "./__fixtures__/replay.ts";
import type { AgentEvent } from "./agent-event.ts";
import { createReducer, type Reducer } from "./create-reducer.ts";
import { createStatusFold } from "./status-fold.ts";

type Fields = Record<string, unknown>;
const tokens = (output_tokens: number): Fields => ({ usage_metadata: { input_tokens: 10, output_tokens } });
const task = (id: string, subagent_type: string): Fields => ({
  id,
  name: "task",
  args: { description: id, subagent_type },
});
const call = (id: string): Fields => ({ id, name: "ls", args: {} });

/** What happens in the graph of a sub-agent, `[]` for the agent's own. */
const inGraph = (graph: readonly string[]) => ({
  piece: (id: string, content: string, more: Fields = {}): AgentEvent => ({
    namespace: [...graph, "model_request:1"],
    mode: "messages",
    data: [{ type: "ai", id, content, tool_call_chunks: [], ...more }, { langgraph_node: "model_request" }],
  }),
  says: (id: string, content: string, ...tool_calls: Fields[]): AgentEvent => ({
    namespace: graph,
    mode: "updates",
    data: { model_request: { messages: [{ type: "ai", id, content, tool_calls, ...tokens(1) }] } },
  }),
  starts: (toolCallId: string, name = "ls"): AgentEvent => ({
    namespace: [...graph, `tools:${toolCallId}`],
    mode: "tools",
    data: { event: "on_tool_start", toolCallId, name, input: "{}" },
  }),
  result: (tool_call_id: string, content: string, name = "ls", more: Fields = {}): AgentEvent => ({
    namespace: graph,
    mode: "updates",
    data: { tools: { messages: [{ type: "tool", tool_call_id, name, content, ...more }] } },
  }),
});
const root = inGraph([]);
const lead = inGraph(["tools:t1"]);
const digger = inGraph(["tools:t1", "tools:t2"]);

function begin(resumeFrom?: Reducer["status"]): Reducer {
  const reducer = createReducer({ executionId: "aex-1", message: "Go", resumeFrom });
  reducer.start(moment(0));
  return reducer;
}
function feed(reducer: Reducer, ...events: AgentEvent[]): Reducer {
  for (const [n, event] of events.entries()) reducer.reduce(event, moment(n + 1));
  return reducer;
}
const said = ({ status }: Reducer): string[] =>
  status.messages.slice(1).map(({ subAgentId, content }) => `${subAgentId}: ${content}`);
const called = ({ status }: Reducer): string[] =>
  status.toolCalls.map(({ id, subAgentId, status: state }) => `${subAgentId}/${id} ${ToolCallStatus[state].slice(10)}`);

const down = [
  root.says("m1", "I ask.", task("t1", "lead")),
  root.starts("t1", "task"),
  lead.piece("l1", "I le"),
  lead.says("l1", "I lead.", task("t2", "digger"), call("c1")),
  lead.starts("t2", "task"),
  lead.starts("c1"),
  digger.piece("d1", "Deep"),
  lead.result("c1", "ok"),
  digger.says("d1", "Deep down.", call("c2")),
  digger.starts("c2"),
];

test("what sub-agents say and call is theirs, at any depth, and all are rows", () => {
  const reducer = feed(begin(), ...down);
  expect(said(reducer)).toEqual([": I ask.", "t1: I lead.", "t2: Deep down."]);
  expect(called(reducer)).toEqual(["/t1 RUNNING", "t1/t2 RUNNING", "t1/c1 COMPLETED", "t2/c2 RUNNING"]);
  expect(reducer.status.subAgentExecutions).toMatchObject([
    { id: "t1", name: "lead", input: "t1", parentId: "", status: SubAgentStatus.SUB_AGENT_IN_PROGRESS },
    { id: "t2", name: "digger", input: "t2", parentId: "t1", startedAt: moment(5) },
  ]);
  feed(reducer, digger.result("c2", "ok"), lead.result("t2", "Dug.", "task"), root.result("t1", "Led.", "task"));
  expect(reducer.status.subAgentExecutions).toMatchObject([
    {
      output: "Led.",
      status: SubAgentStatus.SUB_AGENT_COMPLETED,
      usage: { modelCalls: 1, toolCalls: 2, inputTokens: 10 },
    },
    { output: "Dug.", status: SubAgentStatus.SUB_AGENT_COMPLETED, usage: { modelCalls: 1, toolCalls: 1 } },
  ]);
  expect(reducer.status.usage).toMatchObject({ modelCalls: 3, toolCalls: 4, inputTokens: 30 });
});

test("a sub-agent that ends takes what it had open with it", () => {
  const reducer = feed(begin(), ...down, digger.piece("d2", "half", tokens(7)));
  feed(reducer, root.result("t1", "It broke.", "task", { status: "error" }));
  expect(called(reducer)).toEqual(["/t1 FAILED", "t1/t2 CANCELLED", "t1/c1 COMPLETED", "t2/c2 CANCELLED"]);
  expect(reducer.status.subAgentExecutions).toMatchObject([
    { status: SubAgentStatus.SUB_AGENT_FAILED, error: "It broke." },
    { status: SubAgentStatus.SUB_AGENT_CANCELLED, usage: { outputTokens: 8, modelCalls: 2 } },
  ]);
});

test("a cancelled run cancels all of its sub-agents and their calls", () => {
  const reducer = feed(begin(), ...down);
  reducer.finish({ kind: "cancelled", reason: "Enough." }, moment(20));
  expect(called(reducer)).toEqual(["/t1 CANCELLED", "t1/t2 CANCELLED", "t1/c1 COMPLETED", "t2/c2 CANCELLED"]);
  const { subAgentExecutions } = reducer.status;
  expect(subAgentExecutions.map(({ status }) => status)).toEqual([
    SubAgentStatus.SUB_AGENT_CANCELLED,
    SubAgentStatus.SUB_AGENT_CANCELLED,
  ]);
});

test("a turn that is taken back takes all that came of it, to the last sub-agent", () => {
  const before = feed(begin(), ...down);
  const reducer = begin(before.status);
  const changes = reducer.resume([], moment(30));
  expect(said(reducer)).toEqual([]);
  expect(reducer.status.toolCalls).toEqual([]);
  expect(reducer.status.subAgentExecutions).toEqual([]);
  const watcher = createStatusFold(before.status);
  watcher.apply(create(StatusDeltaSchema, { changes }));
  expect(watcher.status.messages).toHaveLength(1);
});

test("half of what a retried model said goes, and that of its neighbour stays", () => {
  const other = inGraph(["tools:t9"]);
  const reducer = feed(
    begin(),
    root.says("m1", "", task("t1", "a"), task("t9", "b")),
    root.starts("t1", "task"),
    root.starts("t9", "task"),
    lead.piece("l1", "I thi"),
    other.piece("o1", "Mean"),
    lead.piece("l2", "I think."),
    lead.says("l2", "I think."),
  );
  expect(said(reducer)).toEqual([": ", "t9: Mean", "t1: I think."]);
});

test.each([
  ["under a new id", "l2"],
  ["under its old id", "l1"],
])("after a crash half a message of a sub-agent goes when it is said anew, %s", (_, again) => {
  const human = { type: "human", id: "aex-1", content: "Go" };
  const checkpoint = [human, { type: "ai", id: "m1", content: "I ask.", tool_calls: [task("t1", "lead")] }];
  const before = feed(begin(), ...down.slice(0, 3));
  const reducer = begin(before.status);
  reducer.resume(checkpoint, moment(9));
  expect(said(reducer)).toEqual([": I ask.", "t1: I le"]);
  feed(
    reducer,
    root.starts("t1", "task"),
    lead.piece(again, "I l"),
    lead.piece(again, "ead."),
    lead.says(again, "I lead."),
  );
  expect(said(reducer)).toEqual([": I ask.", "t1: I lead."]);
  expect(reducer.status.messages.at(-1)?.id).toBe(again);
  expect(reducer.status.usage).toMatchObject({ modelCalls: 2 });
});

test("after a crash what a sub-agent had done stays, and it goes on", () => {
  const human = { type: "human", id: "aex-1", content: "Go" };
  const checkpoint = [human, { type: "ai", id: "m1", content: "I ask.", tool_calls: [task("t1", "lead")] }];
  const before = feed(begin(), ...down.slice(0, 6), lead.result("c1", "ok"), lead.result("t2", "Dug.", "task"));
  const reducer = begin(before.status);
  reducer.resume(checkpoint, moment(9));
  feed(reducer, root.starts("t1", "task"), lead.says("l2", "Led."), root.result("t1", "Led.", "task"));
  expect(said(reducer)).toEqual([": I ask.", "t1: I lead.", "t1: Led."]);
  expect(called(reducer)).toEqual(["/t1 COMPLETED", "t1/t2 COMPLETED", "t1/c1 COMPLETED"]);
  expect(reducer.status.usage).toMatchObject({ toolCalls: 3, modelCalls: 3 });
});

const heldBefore = (...messages: Fields[]): AgentEvent => ({
  namespace: [],
  mode: "custom",
  data: {
    type: "sub_agent_resumed",
    toolCallId: "t1",
    messages: [{ type: "human", id: "h", content: "t1" }, ...messages],
  },
});

test("after a crash what a sub-agent had done and nobody was told is told by its checkpoint", () => {
  const human = { type: "human", id: "aex-1", content: "Go" };
  const checkpoint = [human, { type: "ai", id: "m1", content: "I ask.", tool_calls: [task("t1", "lead")] }];
  // The call was told to run; its result, and what came of it, are in the sub-agent's checkpoint alone.
  const before = feed(begin(), ...down.slice(0, 2), lead.says("l1", "I lead.", call("c1")), lead.starts("c1"));
  const reducer = begin(before.status);
  reducer.resume(checkpoint, moment(9));
  feed(
    reducer,
    root.starts("t1", "task"),
    heldBefore(
      { type: "ai", id: "l1", content: "I lead.", tool_calls: [call("c1")], ...tokens(1) },
      { type: "tool", tool_call_id: "c1", name: "ls", content: "ok" },
      { type: "ai", id: "l2", content: "Led.", ...tokens(1) },
    ),
    root.result("t1", "Led.", "task"),
  );
  expect(called(reducer)).toEqual(["/t1 COMPLETED", "t1/c1 COMPLETED"]);
  expect(reducer.status.toolCalls[1]?.result).toBe("ok");
  expect(said(reducer)).toEqual([": I ask.", "t1: I lead.", "t1: Led."]);
  expect(reducer.status.usage).toMatchObject({ modelCalls: 3, toolCalls: 2 });
  expect(reducer.status.subAgentExecutions[0]?.usage).toMatchObject({ modelCalls: 2, toolCalls: 1, inputTokens: 20 });
});

test("after a crash what a sub-agent's checkpoint lacks is taken back, and what it has stays as it is", () => {
  const before = feed(begin(), ...down.slice(0, 6), lead.result("c1", "ok"), lead.result("t2", "Dug.", "task"));
  const told = feed(before, lead.piece("l2", "Half a"));
  const reducer = begin(told.status);
  const known = heldBefore(
    { type: "ai", id: "l1", content: "I lead.", tool_calls: [task("t2", "digger"), call("c1")], ...tokens(1) },
    { type: "tool", tool_call_id: "c1", name: "ls", content: "ok" },
    { type: "tool", tool_call_id: "t2", name: "task", content: "Dug." },
  );
  feed(reducer, root.starts("t1", "task"), known);
  expect(said(reducer)).toEqual([": I ask.", "t1: I lead."]);
  expect(called(reducer)).toEqual(["/t1 RUNNING", "t1/t2 COMPLETED", "t1/c1 COMPLETED"]);
  expect(reducer.reduce(known, moment(9))).toEqual([]);
  // Of a task that the status knows nothing of nothing is told.
  const other = { ...known, data: { ...(known.data as Fields), toolCallId: "t9" } };
  expect(reducer.reduce(other, moment(9))).toEqual([]);
});

test("a graph that a tool of a sub-agent runs by itself costs, and says nothing", () => {
  const aside = inGraph(["tools:t1", "tools:c1"]);
  const reducer = feed(begin(), ...down.slice(0, 6), aside.piece("x", "aside"), aside.says("x", "aside", call("y")));
  expect(said(reducer)).toEqual([": I ask.", "t1: I lead."]);
  expect(called(reducer)).toEqual(["/t1 RUNNING", "t1/t2 RUNNING", "t1/c1 RUNNING"]);
  expect(reducer.status.subAgentExecutions[0]?.usage).toMatchObject({ modelCalls: 2 });
});

test("a graph around a sub-agent's own is the sub-agent's", () => {
  const wrapped = inGraph(["tools:t1", "inner:5"]);
  const reducer = feed(begin(), ...down.slice(0, 2), wrapped.piece("w", "Wra"), wrapped.says("w", "Wrapped."));
  expect(said(reducer)).toEqual([": I ask.", "t1: Wrapped."]);
});

test("a plan of a sub-agent is not the agent's", () => {
  const todos = {
    namespace: ["tools:t1"],
    mode: "updates" as const,
    data: { tools: { todos: [{ content: "theirs" }] } },
  };
  expect(feed(begin(), ...down.slice(0, 2), todos).status.todos).toEqual({});
});

test("of a task whose start was not seen only the cost is known", () => {
  const reducer = feed(begin(), lead.piece("l1", "Hm"), lead.says("l1", "Hm.", call("c1")));
  expect(said(reducer)).toEqual([]);
  expect(reducer.status.usage).toMatchObject({ modelCalls: 1, inputTokens: 10 });
});

test("event 10,000 of a sub-agent costs what event 100 costs", () => {
  const reducer = feed(begin(), ...down.slice(0, 2));
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
  const fold = createStatusFold(create(AgentExecutionStatusSchema, reducer.status));
  fold.hash();
  const turn = (n: number): string => {
    visits = 0;
    const changes = [
      lead.piece(`m${n}`, "I "),
      lead.piece(`m${n}`, "look.", tokens(3)),
      lead.says(`m${n}`, "I look.", call(`c${n}`)),
      lead.starts(`c${n}`),
      lead.result(`c${n}`, "a"),
    ].flatMap((event) => reducer.reduce(event, moment(n)));
    return `${visits} visits, ${changes.map(shapeOf).join(" ")}`;
  };
  const costs = Array.from({ length: 2000 }, (_, n) => turn(n));
  expect(new Set(costs.slice(20))).toEqual(new Set([costs[20]]));
});

function shapeOf({ change }: StatusChange): string {
  return change.case ?? "";
}

const order = { id: "b1", name: "lead", description: "t1" };
const inBackground = inGraph(["background:b1"]);
const taken = root.result("t1", "Task b1: lead works on it.", "task", {
  additional_kwargs: { background_task: order },
});
const ofTask = (event: string, more: Fields = {}): AgentEvent => ({
  namespace: ["background:b1"],
  mode: "tools",
  data: { event, toolCallId: "t1", name: "task", ...more },
});
const told = (outcome: string, report: string): AgentEvent => ({
  namespace: [],
  mode: "updates",
  data: { inbox: { messages: [toldMessage(outcome, report)] } },
});
const toldMessage = (outcome: string, report: string): Fields => ({
  type: "human",
  id: "aex-1/task:b1",
  content: `[Task b1 ended.]\n\n${report}`,
  additional_kwargs: { background_task: { id: "b1", toolCallId: "t1", outcome } },
});
const handedOver = [
  root.says("m1", "I ask.", task("t1", "lead")),
  root.starts("t1", "task"),
  ofTask("on_background_start"),
  taken,
  inBackground.says("l1", "I lead.", call("c1")),
  inBackground.starts("c1"),
  root.says("m2", "Meanwhile.", call("c2")),
];

test("a task in the background is at work until it ends, not until it is taken", () => {
  const reducer = feed(begin(), ...handedOver);
  expect(called(reducer)).toEqual(["/t1 COMPLETED", "t1/c1 RUNNING", "/c2 PENDING"]);
  expect(said(reducer)).toEqual([": I ask.", "t1: I lead.", ": Meanwhile."]);
  expect(reducer.status.subAgentExecutions).toMatchObject([
    { id: "t1", status: SubAgentStatus.SUB_AGENT_IN_PROGRESS, output: "", completedAt: "", startedAt: moment(2) },
  ]);
  feed(
    reducer,
    inBackground.result("c1", "ok"),
    ofTask("on_background_end", { result: { outcome: "completed", text: "Led." } }),
  );
  const ended = {
    id: "t1",
    status: SubAgentStatus.SUB_AGENT_COMPLETED,
    output: "Led.",
    completedAt: moment(2),
    usage: { modelCalls: 1, toolCalls: 1 },
  };
  expect(reducer.status.subAgentExecutions).toMatchObject([ended]);
  // That the agent hears of it is nobody's message.
  feed(reducer, told("completed", "Led again."));
  expect(reducer.status.subAgentExecutions).toMatchObject([ended]);
  expect(said(reducer)).toEqual([": I ask.", "t1: I lead.", ": Meanwhile."]);
});

test("a task in the background goes on in another runner, and ends by what its thread says", () => {
  const before = feed(begin(), ...handedOver).status;
  const goesOn = feed(begin(before), ofTask("on_background_start"), inBackground.says("l2", "Still."));
  expect(said(goesOn)).toContain("t1: Still.");
  feed(goesOn, ofTask("on_background_end", { result: { outcome: "failed", text: "No way." } }));
  expect(goesOn.status.subAgentExecutions).toMatchObject([
    { status: SubAgentStatus.SUB_AGENT_FAILED, output: "", error: "No way." },
  ]);
  const heard = begin(feed(begin(), ...handedOver).status);
  const human = { type: "human", id: "aex-1", content: "Go" };
  const thread = handedOver.flatMap(({ namespace, mode, data }) =>
    namespace.length > 0 || mode !== "updates"
      ? []
      : Object.values(data as Record<string, { messages: unknown[] }>).flatMap(({ messages }) => messages),
  );
  heard.resume([human, ...thread, toldMessage("completed", "Led.")], moment(20));
  expect(heard.status.subAgentExecutions).toMatchObject([
    { status: SubAgentStatus.SUB_AGENT_COMPLETED, output: "Led." },
  ]);
});

test.each([
  ["cancelled", { kind: "cancelled", reason: "Enough." }, SubAgentStatus.SUB_AGENT_CANCELLED],
  ["failed", { kind: "failed", error: "It broke." }, SubAgentStatus.SUB_AGENT_FAILED],
] as const)("a run that is %s takes its tasks in the background with it", (_, outcome, status) => {
  const reducer = feed(begin(), ...handedOver);
  reducer.finish(outcome, moment(20));
  expect(reducer.status.subAgentExecutions).toMatchObject([{ id: "t1", status, completedAt: moment(20) }]);
  expect(called(reducer)[1]).not.toBe("t1/c1 RUNNING");
});
