import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  ExecutionPhase,
  MessageType,
  StatusDeltaSchema,
  SubAgentStatus,
  TextKind,
  TodoStatus,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import { createStatusFold } from "@stigmer/status";
import { describe, expect, onTestFinished, test } from "vitest";
import { openScreen, type Screen } from "./__fixtures__/screen.ts";
import { createRunPrinter } from "./create-run-printer.ts";
import type { RunPrinter } from "./run-printer.ts";

type Change = NonNullable<MessageInitShape<typeof StatusDeltaSchema>["changes"]>[number];

const enter = (phase: ExecutionPhase): Change => ({
  change: { case: "run", value: { phase, startedAt: new Date().toISOString() } },
});
const begin = (messageId: string): Change => ({
  change: { case: "messageStarted", value: { messageId, type: MessageType.MESSAGE_AI } },
});
const call = (id: string, status: ToolCallStatus, more: object = {}): Change => ({
  change: { case: "toolCall", value: { call: { id, status, ...more } } },
});
const task = (id: string, status: SubAgentStatus, more: object = {}): Change => ({
  change: { case: "subAgent", value: { subAgent: { id, status, ...more } } },
});
const plan = (...items: [content: string, status: TodoStatus][]): Change => ({
  change: {
    case: "todos",
    value: {
      todos: Object.fromEntries(items.map(([content, status], i) => [`${i}`, { id: `${i}`, content, status }])),
    },
  },
});

interface Shown {
  readonly screen: Screen;
  readonly printer: RunPrinter;
  report(...changes: Change[]): void;
  /** Text of the message that began last. */
  say(text: string): void;
  finish(): void;
}

interface ShowOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
}

function show(columns: number, rows: number, { env = { NO_COLOR: "1" }, secrets = [] }: ShowOptions = {}): Shown {
  const screen = openScreen(columns, rows);
  const printer = createRunPrinter(
    { executionId: "aex-1", json: false, secrets },
    { stdout: screen.stdout, stderr: screen.stdout, env },
  );
  onTestFinished(() => printer.close());
  const fold = createStatusFold();
  let message = { id: "", length: 0 };
  const report = (...changes: Change[]): void => {
    for (const { change } of changes)
      if (change?.case === "messageStarted") message = { id: change.value.messageId ?? "", length: 0 };
    const delta = create(StatusDeltaSchema, { changes });
    fold.apply(delta);
    printer.update(fold.status, delta);
  };
  const say = (text: string): void => {
    const value = { messageId: message.id, kind: TextKind.CONTENT, offset: message.length, text };
    message = { ...message, length: message.length + text.length };
    report({ change: { case: "textAppended", value } });
  };
  return { screen, printer, report, say, finish: () => printer.finish(fold.status) };
}

/** Without what time does: seconds are `N s`, and the spinner is `*`. */
const still = (rows: readonly string[]): string[] =>
  rows.map((row) => row.replace(/\d+\.\d s/g, "N s").replace(/[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]/, "*"));

const answer = `# The plan

I read **everything** in \`src\`, which takes a while on a slow disk.

- one thing that is long enough to be wrapped on narrow terminals
- another
  1. nested

| file | words |
|------|------:|
| one.md | 5 |
| another-file-with-a-rather-long-name | 12345 |

\`\`\`ts
const words = 5;
\`\`\`

`;

function begun(columns: number, rows = 40, options: ShowOptions = {}): Shown {
  const shown = show(columns, rows, options);
  const { report, say } = shown;
  report(enter(ExecutionPhase.EXECUTION_IN_PROGRESS), begin("m1"));
  for (const piece of answer.match(/[^]{1,7}/g) ?? []) say(piece);
  say("And **then");
  return shown;
}

const wide = [
  "# The plan",
  "",
  "I read everything in `src`, which takes a while on a slow disk.",
  "",
  "• one thing that is long enough to be wrapped on narrow terminals",
  "• another",
  "  1. nested",
  "",
  "file                                  words",
  "────────────────────────────────────  ─────",
  "one.md                                    5",
  "another-file-with-a-rather-long-name  12345",
  "",
  "  const words = 5;",
];
const narrow = [
  "# The plan",
  "",
  "I read everything in `src`, which takes",
  "a while on a slow disk.",
  "",
  "• one thing that is long enough to be",
  "  wrapped on narrow terminals",
  "• another",
  "  1. nested",
  "",
  "file: one.md",
  "words: 5",
  "",
  "file:",
  "  another-file-with-a-rather-long-name",
  "words: 12345",
  "",
  "  const words = 5;",
];

describe.each([
  [80, wide],
  [40, narrow],
])("at %i columns", (columns, expected) => {
  test("renders Markdown block by block, and its open end as it comes", async () => {
    const { screen, report, say, finish } = begun(columns);
    await screen.shows("And **then");
    expect(still(await screen.rows())).toEqual([...expected, "", "And **then", "", "* Working · N s"]);
    say("** it is done.");
    report(enter(ExecutionPhase.EXECUTION_COMPLETED));
    finish();
    expect(still(await screen.history())).toEqual([...expected, "", "And then it is done.", "", "completed"]);
  });

  test("draws calls, sub-agents and todos below what is final", async () => {
    const { screen, report, finish } = show(columns, 40);
    const startedAt = new Date().toISOString();
    const ended = { startedAt: "2026-01-01T00:00:00Z", completedAt: "2026-01-01T00:00:01.5Z" };
    report(
      enter(ExecutionPhase.EXECUTION_IN_PROGRESS),
      plan(
        ["look", TodoStatus.TODO_COMPLETED],
        ["act", TodoStatus.TODO_IN_PROGRESS],
        ["tell", TodoStatus.TODO_PENDING],
      ),
      call("t1", ToolCallStatus.TOOL_CALL_COMPLETED, { name: "execute", args: { command: "ls" }, ...ended }),
      call("s1", ToolCallStatus.TOOL_CALL_RUNNING, { name: "task", startedAt }),
      task("s1", SubAgentStatus.SUB_AGENT_IN_PROGRESS, { name: "counter", input: "Count one", startedAt }),
      call("t2", ToolCallStatus.TOOL_CALL_RUNNING, {
        name: "execute",
        args: { command: "wc x" },
        startedAt,
        subAgentId: "s1",
      }),
    );
    await screen.shows("execute wc");
    expect(still(await screen.rows())).toEqual([
      "  ✓ execute ls  N s",
      "  * counter: Count one  N s",
      "    * execute wc  N s",
      "",
      "  ☑ look",
      "  ◐ act",
      "  ☐ tell",
      "",
      "* Working · N s",
    ]);
    report(
      call("t2", ToolCallStatus.TOOL_CALL_FAILED, {
        ...ended,
        error: "there is no such file as the one that was named",
      }),
      task("s1", SubAgentStatus.SUB_AGENT_COMPLETED, ended),
      call("s1", ToolCallStatus.TOOL_CALL_COMPLETED, ended),
      call("t3", ToolCallStatus.TOOL_CALL_RUNNING, { name: "mystery", startedAt }),
      enter(ExecutionPhase.EXECUTION_CANCELLED),
    );
    finish();
    const error =
      columns === 80
        ? ["      there is no such file as the one that was named"]
        : ["      there is no such file as the one", "      that was named"];
    expect(still(await screen.history())).toEqual([
      "  ✓ execute ls  N s",
      "  ✓ counter: Count one  N s",
      "    ✗ execute wc  failed · N s",
      ...error,
      "  ? mystery  outcome unknown",
      "",
      "  ☑ look",
      "  ◐ act",
      "  ☐ tell",
      "",
      "cancelled",
    ]);
  });

  test("clears no screen, and shows final text and the live part in one frame", async () => {
    const { screen, report, finish } = begun(columns);
    await screen.shows("And **then");
    report(enter(ExecutionPhase.EXECUTION_COMPLETED));
    finish();
    await screen.history();
    // Erasing the screen or the scrollback, going to its corner, resetting, or another screen.
    // oxlint-disable-next-line no-control-regex -- these are what it looks for
    expect(screen.raw()).not.toMatch(/\u001b(\[[0-3]?J|\[(\d*;?\d*)?H|c|\[\?(47|1047|1049)h)/);
    // oxlint-disable-next-line no-control-regex -- these are what it looks for
    const outside = screen.raw().replace(/\u001b\[\?2026h[^]*?\u001b\[\?2026l/g, "");
    expect(outside).toBe("\ncompleted\n");
  });
});

test("what sub-agents did side by side stands below each of them, the one that works for another below that", async () => {
  const { screen, report, finish } = show(80, 40);
  const ended = { startedAt: "2026-01-01T00:00:00Z", completedAt: "2026-01-01T00:00:01Z" };
  const { SUB_AGENT_IN_PROGRESS: underWay, SUB_AGENT_COMPLETED: done } = SubAgentStatus;
  const { TOOL_CALL_COMPLETED: completed } = ToolCallStatus;
  report(
    enter(ExecutionPhase.EXECUTION_IN_PROGRESS),
    task("s1", underWay, { name: "one", input: "First" }),
    task("s2", underWay, { name: "two", input: "Second" }),
    task("s3", underWay, { name: "three", input: "For the first", parentId: "s1" }),
    call("t1", completed, { name: "ls", subAgentId: "s1", ...ended }),
    call("t2", completed, { name: "glob", subAgentId: "s2", ...ended }),
    call("t4", completed, { name: "write_file", subAgentId: "s1", ...ended }),
  );
  report(call("t3", completed, { name: "grep", subAgentId: "s3", ...ended }));
  report(task("s3", done, ended));
  await screen.shows("4 calls");
  expect(still(await screen.rows())).toEqual([
    "  * one: First  4 calls",
    "  * two: Second  1 call",
    "",
    "* Working · N s",
  ]);
  report(task("s2", done, ended), task("s1", done, ended), enter(ExecutionPhase.EXECUTION_COMPLETED));
  finish();
  expect(still(await screen.history())).toEqual([
    "  ✓ two: Second  N s",
    "    ✓ glob  N s",
    "  ✓ one: First  N s",
    "    ✓ ls  N s",
    "    ✓ write_file  N s",
    "    ✓ three: For the first  N s",
    "      ✓ grep  N s",
    "",
    "completed",
  ]);
});

test("who comes when it is over finds what each sub-agent did below it, too", async () => {
  const screen = openScreen(80, 40);
  const printer = createRunPrinter(
    { executionId: "aex-1", json: false, secrets: [] },
    { stdout: screen.stdout, stderr: screen.stdout, env: { NO_COLOR: "1" } },
  );
  onTestFinished(() => printer.close());
  const ended = { startedAt: "2026-01-01T00:00:00Z", completedAt: "2026-01-01T00:00:01Z" };
  const { SUB_AGENT_COMPLETED: done } = SubAgentStatus;
  const said = (id: string, subAgentId = ""): Change => ({
    change: { case: "messageStarted", value: { messageId: id, type: MessageType.MESSAGE_AI, subAgentId } },
  });
  const calls = (messageId: string, id: string, name: string, subAgentId = ""): Change => {
    const value = { id, name, subAgentId, status: ToolCallStatus.TOOL_CALL_COMPLETED, ...ended };
    return { change: { case: "toolCall", value: { messageId, call: value } } };
  };
  const fold = createStatusFold();
  const changes = [
    enter(ExecutionPhase.EXECUTION_IN_PROGRESS),
    said("m1"),
    calls("m1", "s1", "task"),
    calls("m1", "s2", "task"),
    said("b1", "s2"),
    said("a1", "s1"),
    calls("b1", "t2", "glob", "s2"),
    calls("a1", "t1", "ls", "s1"),
    calls("a1", "s3", "task", "s1"),
    said("c1", "s3"),
    calls("c1", "t3", "grep", "s3"),
    task("s1", done, { name: "one", input: "First", ...ended }),
    task("s2", done, { name: "two", input: "Second", ...ended }),
    task("s3", done, { name: "three", input: "For the first", parentId: "s1", ...ended }),
    enter(ExecutionPhase.EXECUTION_COMPLETED),
  ];
  fold.apply(create(StatusDeltaSchema, { changes }));
  printer.update(fold.status);
  printer.finish(fold.status);
  expect(still(await screen.history())).toEqual([
    "  ✓ one: First  N s",
    "    ✓ ls  N s",
    "    ✓ three: For the first  N s",
    "      ✓ grep  N s",
    "  ✓ two: Second  N s",
    "    ✓ glob  N s",
    "",
    "completed",
  ]);
});

test("never draws more rows than the terminal has, and loses none of them", async () => {
  const { screen, report, say, finish } = show(40, 12);
  report(enter(ExecutionPhase.EXECUTION_IN_PROGRESS), begin("m1"));
  const lines = Array.from({ length: 50 }, (_, at) => `line ${at}`);
  say(`\`\`\`\n${lines.join("\n")}\n`);
  await screen.shows("line 49");
  expect((await screen.history()).length).toBeLessThanOrEqual(12);
  report(...lines.map((name) => call(name, ToolCallStatus.TOOL_CALL_RUNNING, { name })));
  await screen.shows("… and 47 more");
  const rows = await screen.rows();
  expect(rows.length).toBeLessThanOrEqual(12);
  expect(rows.at(-1)).toContain("Working");
  report(enter(ExecutionPhase.EXECUTION_CANCELLED));
  finish();
  const history = await screen.history();
  expect(history.slice(0, 50)).toEqual(lines.map((line) => `  ${line}`));
  expect(history.filter((row) => row.includes("outcome unknown"))).toHaveLength(50);
  expect(history.join("\n")).not.toContain("Working");
});

test("is drawn anew when the terminal is resized, and leaves nothing behind", async () => {
  const { screen, finish, report } = begun(80, 40);
  await screen.shows("And **then");
  screen.resize(24, 30);
  report(
    call("t1", ToolCallStatus.TOOL_CALL_RUNNING, { name: "execute", args: { command: "a-command-with-a-long-name" } }),
  );
  await screen.shows("execute a-command");
  screen.resize(60, 30);
  await screen.shows("execute a-command-with-a-long-name");
  const rows = await screen.history();
  expect(rows.filter((row) => row.includes("Working"))).toHaveLength(1);
  expect(rows.filter((row) => row.includes("execute"))).toHaveLength(1);
  report(enter(ExecutionPhase.EXECUTION_COMPLETED));
  finish();
  expect((await screen.history()).join("\n")).not.toContain("Working");
});

test("draws nothing while somebody is asked", async () => {
  const { screen, printer, report, finish } = begun(80);
  await screen.shows("And **then");
  printer.hold();
  screen.stdout.write("Shall it?\n");
  report(call("t1", ToolCallStatus.TOOL_CALL_COMPLETED, { name: "mystery" }));
  screen.resize(79, 40);
  expect((await screen.rows()).at(-1)).toBe("Shall it?");
  printer.release();
  await screen.shows("✓ mystery");
  report(enter(ExecutionPhase.EXECUTION_COMPLETED));
  finish();
  expect((await screen.rows()).slice(-7)).toEqual(["Shall it?", "", "And **then", "", "  ✓ mystery", "", "completed"]);
});

test("shows no secret, also where a line is broken within it", async () => {
  const { screen, report, say, finish } = show(30, 30, { secrets: ["a-secret-that-is-longer-than-a-line"] });
  report(enter(ExecutionPhase.EXECUTION_IN_PROGRESS), begin("m1"));
  say("The key is a-secret-that-is-longer-than-a-line.\n\nIt is safe.");
  report(call("t1", ToolCallStatus.TOOL_CALL_FAILED, { name: "x", error: "not a-secret-that-is-longer-than-a-line" }));
  report(enter(ExecutionPhase.EXECUTION_FAILED));
  finish();
  const shown = (await screen.history()).join("");
  expect(shown).toContain("The key is ********.");
  expect(shown.match(/\*{8}/g)).toHaveLength(2);
  expect(screen.raw()).not.toContain("longer");
});

test("is in colour unless NO_COLOR says otherwise", async () => {
  const paints = async (env: Record<string, string>): Promise<boolean> => {
    const { screen, report, finish } = begun(80, 40, { env });
    report(enter(ExecutionPhase.EXECUTION_COMPLETED));
    finish();
    await screen.history();
    // oxlint-disable-next-line no-control-regex -- these are what it looks for
    return /\u001b\[\d+m/.test(screen.raw());
  };
  expect(await paints({})).toBe(true);
  expect(await paints({ NO_COLOR: "1" })).toBe(false);
});
