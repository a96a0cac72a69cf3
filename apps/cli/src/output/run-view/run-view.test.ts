import { PassThrough } from "node:stream";
import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
  MessageType,
  type StatusDelta,
  StatusDeltaSchema,
  TextKind,
  TodoStatus,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import { createStatusFold } from "@stigmer/status";
import { describe, expect, test } from "vitest";
import { createRunPrinter } from "./create-run-printer.ts";
import { paintLine } from "./paint-line.ts";
import { createRunReader, finalAnswer, type RunEvent } from "./run-events.ts";
import { addEvent, emptyView, type RunLine, type RunView } from "./run-lines.ts";
import { summarize } from "./run-summary.ts";

const { EXECUTION_FAILED } = ExecutionPhase;

type Change = NonNullable<MessageInitShape<typeof StatusDeltaSchema>["changes"]>[number];

const say = (messageId: string, text: string, offset = 0): Change => ({
  change: { case: "textAppended", value: { messageId, kind: TextKind.CONTENT, offset, text } },
});
const begin = (messageId: string, type = MessageType.MESSAGE_AI): Change => ({
  change: { case: "messageStarted", value: { messageId, type } },
});
const tool = (id: string, status: ToolCallStatus, more: object = {}): Change => ({
  change: { case: "toolCall", value: { messageId: "m1", call: { id, status, ...more } } },
});
const enter = (phase: ExecutionPhase, error = ""): Change => ({
  change: { case: "run", value: { phase, error } },
});
const plan = (...items: [content: string, status: TodoStatus][]): Change => ({
  change: {
    case: "todos",
    value: {
      todos: Object.fromEntries(items.map(([content, status], i) => [`${i}`, { id: `${i}`, content, status }])),
    },
  },
});

const script: readonly (readonly Change[])[] = [
  [enter(ExecutionPhase.EXECUTION_IN_PROGRESS)],
  [begin("m0", MessageType.MESSAGE_HUMAN), say("m0", "Fix it.")],
  [begin("m1"), say("m1", "I look.\nThen ")],
  [say("m1", "I act.", 13)],
  [plan(["look", TodoStatus.TODO_IN_PROGRESS], ["act", TodoStatus.TODO_PENDING])],
  [
    tool("t1", ToolCallStatus.TOOL_CALL_RUNNING, {
      name: "execute",
      args: { command: "node --test" },
      startedAt: "2026-01-01T00:00:00Z",
    }),
  ],
  [tool("t2", ToolCallStatus.TOOL_CALL_PENDING, { name: "mystery" })],
  [tool("t1", ToolCallStatus.TOOL_CALL_COMPLETED, { completedAt: "2026-01-01T00:00:01.500Z", result: "\u001b[2Jok" })],
  [tool("t2", ToolCallStatus.TOOL_CALL_FAILED, { error: "no\nsuch\u001b[31m thing" })],
  [plan(["look", TodoStatus.TODO_COMPLETED], ["act", TodoStatus.TODO_PENDING])],
  [begin("m2"), say("m2", "Done.")],
  [enter(ExecutionPhase.EXECUTION_COMPLETED)],
];

/** The script's deltas with the status after each. */
function* play(): Generator<{ status: AgentExecutionStatus; delta: StatusDelta }> {
  const fold = createStatusFold();
  for (const changes of script) {
    const delta = create(StatusDeltaSchema, { changes: [...changes] });
    fold.apply(delta);
    yield { status: clone(AgentExecutionStatusSchema, fold.status), delta };
  }
}

function linesOf(events: readonly RunEvent[]): { lines: string[]; view: RunView } {
  let view = emptyView;
  const lines: RunLine[] = [];
  for (const event of events) {
    const step = addEvent(view, event);
    view = step.view;
    lines.push(...step.lines);
  }
  return { view, lines: lines.map((line) => paintLine(line, (_, text) => text)) };
}

const expectedLines = [
  "I look.",
  "Then I act.",
  "  ◐ look",
  "  ☐ act",
  "  ✓ execute node  1.5 s",
  "  ✗ mystery  failed · no such thing",
  "  ☑ look",
  "Done.",
];

const finalStatus = (): AgentExecutionStatus => [...play()].at(-1)!.status;

describe("reading a run", () => {
  test("tells each change once, in order", () => {
    const reader = createRunReader();
    const events = [...play()].flatMap(({ status, delta }) => reader.read(status, delta));
    expect(events.map((event) => (event.type === "tool" ? `${event.toolCallId} ${event.status}` : event.type))).toEqual(
      [
        "phase",
        "message",
        "text",
        "text",
        "todos",
        "t1 running",
        "t2 pending",
        "t1 completed",
        "t2 failed",
        "todos",
      ].concat(["message", "text", "phase"]),
    );
    expect(linesOf(events).lines).toEqual(expectedLines);
  });

  test("names the sub-agents of a call, and leaves what they say to the agent", () => {
    const status = create(AgentExecutionStatusSchema, {
      messages: [
        { id: "m1", type: MessageType.MESSAGE_AI, content: "I ask." },
        { id: "m2", type: MessageType.MESSAGE_AI, content: "Deep down.", subAgentId: "s2" },
      ],
      toolCalls: [{ id: "t1", name: "grep", subAgentId: "s2", status: ToolCallStatus.TOOL_CALL_COMPLETED }],
      subAgentExecutions: [
        { id: "s1", name: "lead" },
        { id: "s2", name: "digger", parentId: "s1" },
      ],
    });
    const { lines, view } = linesOf(createRunReader().read(status));
    expect([...lines, ...view.open.values()]).toEqual(["I ask.", "  ✓ lead › digger › grep"]);
    expect(finalAnswer(status)).toBe("I ask.");
  });

  test("repeats nothing when the connection was lost, wherever that was", () => {
    for (let lost = 0; lost < script.length; lost++) {
      const reader = createRunReader();
      const events: RunEvent[] = [];
      for (const [index, { status, delta }] of [...play()].entries()) {
        if (index === lost) continue;
        // After the loss comes a snapshot, which has what was missed.
        events.push(...reader.read(status, index === lost + 1 ? undefined : delta));
      }
      events.push(...reader.read(finalStatus()));
      const texts = events.flatMap((event) => (event.type === "text" ? [event.text] : []));
      expect(texts.join("")).toBe("I look.\nThen I act.Done.");
      const ends = events.filter((event) => event.type === "tool" && event.durationMs !== undefined);
      expect(ends).toHaveLength(1);
      expect(events.filter(({ type }) => type === "phase").length).toBeLessThanOrEqual(2);
    }
  });

  test("of an old runner without message ids tells what was added", () => {
    const reader = createRunReader();
    const at = (content: string): AgentExecutionStatus =>
      create(AgentExecutionStatusSchema, { messages: [{ type: MessageType.MESSAGE_AI, content }] });
    expect([...reader.read(at("one")), ...reader.read(at("one two"))]).toMatchObject([
      { type: "message" },
      { text: "one" },
      { text: " two" },
    ]);
  });
});

describe("the view", () => {
  test("leaves nothing running when the run has ended", () => {
    const running: RunEvent = {
      type: "tool",
      toolCallId: "t",
      name: "execute",
      display: "",
      status: "running",
      startedAt: "",
      error: "",
      subAgents: [],
      subAgentId: "",
    };
    const ended: RunEvent = { type: "phase", phase: ExecutionPhase.EXECUTION_CANCELLED, error: "" };
    const { lines, view } = linesOf([running, ended]);
    expect(lines).toEqual(["  ? execute  outcome unknown"]);
    expect(view.running.size).toBe(0);
  });

  test("says in its own voice what Stigmer says, and that a run waits", () => {
    const { lines } = linesOf([
      { type: "message", messageId: "s", from: "stigmer" },
      { type: "text", messageId: "s", text: "Resumed on another runner.\n" },
      { type: "phase", phase: ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL, error: "" },
    ]);
    expect(lines).toEqual(["Resumed on another runner.", "Waits for approval."]);
  });
});

interface Captured {
  readonly io: { stdout: PassThrough; stderr: PassThrough; env: Record<string, string> };
  readonly out: () => string;
  readonly err: () => string;
}

function capture(isTTY = false, columns = 80): Captured {
  const written = { stdout: "", stderr: "" };
  const stream = (name: "stdout" | "stderr"): PassThrough => {
    const passThrough = Object.assign(new PassThrough(), { isTTY, columns, rows: 24 });
    passThrough.on("data", (chunk) => (written[name] += String(chunk)));
    return passThrough;
  };
  const io = { stdout: stream("stdout"), stderr: stream("stderr"), env: { NO_COLOR: "1" } };
  return { io, out: () => written.stdout, err: () => written.stderr };
}

describe("printing", () => {
  const ended = (): AgentExecutionStatus => {
    const status = clone(AgentExecutionStatusSchema, finalStatus());
    status.startedAt = "2026-01-01T00:00:00Z";
    status.completedAt = "2026-01-01T00:00:04.200Z";
    status.usage = create(AgentExecutionStatusSchema, {
      usage: { inputTokens: 11_000, outputTokens: 345, modelCalls: 4 },
    }).usage;
    return status;
  };
  const summary = "completed in 4.2 s · 11,345 tokens (11,000 in, 345 out) · 4 model calls\n";

  test("puts on pipes what the agent says to stdout and all else to stderr", () => {
    const { io, out, err } = capture();
    const printer = createRunPrinter({ executionId: "aex-1", json: false, secrets: ["look"] }, io);
    for (const { status, delta } of play()) printer.update(status, delta);
    printer.finish(ended());
    expect(out()).toBe("I ********.\nThen I act.\nDone.\n");
    expect(err()).toBe(
      [...expectedLines.filter((line) => line.startsWith("  ")), summary].join("\n").replaceAll("look", "********"),
    );
  });

  test.each([
    ["as it comes", true],
    ["afterwards", false],
  ])("says the error of a run once, %s, and a long one in full", (_, isLive) => {
    const failed = (error: string): string => {
      const changes = [begin("e", MessageType.MESSAGE_SYSTEM), say("e", error), enter(EXECUTION_FAILED, error)];
      const fold = createStatusFold();
      const delta = create(StatusDeltaSchema, { changes });
      fold.apply(delta);
      const { io, err } = capture();
      const printer = createRunPrinter({ executionId: "aex-1", json: false }, io);
      printer.update(fold.status, isLive ? delta : undefined);
      printer.finish(fold.status);
      return err();
    };
    expect(failed("The sandbox could not be made.")).toBe("failed: The sandbox could not be made.\n");
    const long = "x".repeat(5_000);
    expect(failed(long)).toBe(`${long}\nfailed: ${"x".repeat(999)}…\n`);
  });

  test("tells at the end how many sub-agents there were and what it may have cost", () => {
    const lineOf = (costMicroUsd: number, tasks: number): string => {
      const status = ended();
      Object.assign(status.usage ?? {}, { costMicroUsd });
      const ids = Array.from({ length: tasks }, (_, at) => ({ id: `s${at}` }));
      status.subAgentExecutions = create(AgentExecutionStatusSchema, { subAgentExecutions: ids }).subAgentExecutions;
      return summarize(status, (_, text) => text).split("4 model calls")[1] ?? "";
    };
    expect(lineOf(1_234_567, 2)).toBe(" · 2 sub-agents · about $1.23");
    expect(lineOf(45_600, 1)).toBe(" · 1 sub-agent · about $0.046");
    expect(lineOf(310, 0)).toBe(" · about $0.00031");
    expect(lineOf(2, 0)).toBe(" · about $0.000002");
  });

  test("names the option that raises the limit which ended a run", () => {
    const status = create(AgentExecutionStatusSchema, {
      phase: ExecutionPhase.EXECUTION_FAILED,
      error: "Reached. Raise limits.maxTokens in the agent's spec, or in the execution's executionConfig for one run.",
    });
    expect(summarize(status, (_, text) => text)).toMatch(/for one run\. Here that is --limit maxTokens=….$/);
  });

  test("prints plain lines on a terminal without columns", () => {
    const { io, out, err } = capture(true, 0);
    const printer = createRunPrinter({ executionId: "aex-1", json: false }, io);
    for (const { status, delta } of play()) printer.update(status, delta);
    printer.close();
    expect(out() + err()).toContain("Then I act.\n");
    expect(out() + err()).not.toContain("\u001B");
  });

  test("writes JSON lines, the last with the result", () => {
    const { io, out, err } = capture();
    const printer = createRunPrinter({ executionId: "aex-1", json: true, secrets: ["node --test"] }, io);
    printer.begin({ sessionId: "ses-1" });
    for (const { status, delta } of play()) printer.update(status, delta);
    printer.finish(ended());
    const lines = out()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.every(({ type, executionId }) => typeof type === "string" && executionId === "aex-1")).toBe(true);
    expect(lines[0]).toEqual({ type: "created", executionId: "aex-1", sessionId: "ses-1" });
    expect(lines[1]).toEqual({ type: "phase", executionId: "aex-1", phase: "EXECUTION_IN_PROGRESS", error: "" });
    expect(lines.at(-1)).toEqual({
      type: "result",
      executionId: "aex-1",
      phase: "EXECUTION_COMPLETED",
      output: "Done.",
      error: "",
    });
    expect(err()).toBe("");
  });
});
