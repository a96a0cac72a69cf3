import { PassThrough } from "node:stream";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ApprovalAnswer, StigmerClient } from "@stigmer/client";
import {
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ToolCallStatus,
  type ToolCallSchema,
} from "@stigmer/protos/agentexecution/v1";
import { expect, it, onTestFinished } from "vitest";
import { createApprovalDesk } from "./approval-desk.ts";

const call = {
  id: "call-1",
  name: "execute",
  args: { command: "git push\u001b[2K" },
  approval: { reason: "it goes live" },
};
const other = { id: "call-2", name: "github__merge", args: { pr: 7, text: "two\nlines" } };

const waiting = (...calls: MessageInitShape<typeof ToolCallSchema>[]): AgentExecutionStatus =>
  create(AgentExecutionStatusSchema, {
    toolCalls: calls.map((each) => ({ ...each, status: ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL })),
  });

/** A desk at which somebody presses these keys, or writes these lines, whenever something is asked. */
function openDesk(said: readonly string[], columns = 80) {
  const answers: ApprovalAnswer[] = [];
  const raw: boolean[] = [];
  const stdin = Object.assign(new PassThrough(), { setRawMode: (is: boolean) => raw.push(is) });
  const stderr = Object.assign(new PassThrough(), { columns });
  const left = [...said];
  const seen = { shown: "", held: 0, interrupted: 0 };
  const changed = new EventTarget();
  stderr.setEncoding("utf8").on("data", (text: string) => {
    seen.shown += text;
    const next = /(skip|[:?]) $/.test(text) ? left.shift() : undefined;
    // Somebody needs a moment to answer.
    if (next !== undefined) setImmediate(() => stdin.write(next));
    changed.dispatchEvent(new Event("change"));
  });
  const executions = {
    resolveApproval: async (_id: string, _call: string, answer: ApprovalAnswer) => {
      answers.push(answer);
      changed.dispatchEvent(new Event("change"));
    },
  };
  const printer = { hold: () => void seen.held++, release: () => void seen.held-- };
  const io = { stdin, stderr, stdout: stderr, env: {}, cwd: "/", onSignal: () => () => {} };
  const client = { executions } as unknown as StigmerClient;
  const onInterrupt = (): void => {
    seen.interrupted++;
    changed.dispatchEvent(new Event("change"));
  };
  const desk = createApprovalDesk({ client, executionId: "aex-1", printer, onInterrupt }, io);
  onTestFinished(() => desk.close());
  const until = (condition: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => {
        if (!condition()) return;
        changed.removeEventListener("change", check);
        resolve();
      };
      changed.addEventListener("change", check);
      check();
    });
  return { desk, answers, raw, seen, stdin, until };
}

it.each([
  [
    40,
    "‖ rm -rf build && echo 'two  blanks' and\n   more that is long\n",
    "  Run it?  y yes · a always in this \n  session · e edit · n no · s skip ",
  ],
  [
    0,
    "‖ rm -rf build && echo 'two  blanks' and more that is long\n",
    "always in this session · e edit · n no · s skip ",
  ],
])("breaks no word and leaves nothing out on a terminal of %i columns", async (columns, command, offer) => {
  const { desk, answers, seen, until } = openDesk(["y"], columns);
  desk.update(waiting({ ...call, args: { command: "rm -rf build && echo 'two  blanks' and more that is long" } }));
  await until(() => answers.length === 1);
  expect(seen.shown).toContain(command);
  expect(seen.shown).toContain(offer);
});

it("shows what is asked, in full and harmless, and sends what a key answers", async () => {
  const { desk, answers, raw, seen, until } = openDesk(["a", "n", "not today\r"]);
  desk.update(waiting(call, other));
  await until(() => answers.length === 2);
  expect(answers).toEqual([
    { decision: "approve", forSession: true },
    { decision: "reject", reason: "not today" },
  ]);
  expect(seen.shown).toContain("‖ git push\n  asked because: it goes live\n");
  expect(seen.shown).toContain("‖ github__merge\n    pr: 7\n    text: |-\n      two\n      lines\n");
  expect(raw).toEqual([true, false, true, false]);
  expect(seen.held).toBeLessThanOrEqual(1);
});

it("takes other arguments, and asks again where an answer can't be read", async () => {
  // A key that means nothing is not heard.
  const { desk, answers, seen, until } = openDesk(["e", "git status\r", "e", "no JSON\r", "xe", '{"pr":8}\r']);
  desk.update(waiting(call, other));
  await until(() => answers.length === 2);
  expect(answers).toEqual([
    { decision: "edit", args: { command: "git status" } },
    { decision: "edit", args: { pr: 8 } },
  ]);
  expect(seen.shown).toContain("That is no JSON object.");
  expect(seen.shown.match(/Run it\?/g)).toHaveLength(3);
});

it("gives up a question that somebody else has answered, and goes on with the next", async () => {
  const { desk, answers, seen, stdin, until } = openDesk([]);
  desk.update(waiting(call, other));
  await until(() => seen.shown.endsWith("skip "));
  desk.update(waiting(other));
  await until(() => seen.shown.includes("Decided elsewhere.") && seen.shown.endsWith("skip "));
  expect(seen.shown).toContain("‖ github__merge");
  stdin.write("y");
  await until(() => answers.length === 1);
  expect(answers).toEqual([{ decision: "approve" }]);
});

it("asks about a call once, however often its run is told of, and again when it waits anew", async () => {
  const { desk, answers, seen, until } = openDesk(["s", "y"]);
  desk.update(waiting(call));
  desk.update(waiting(call));
  await until(() => answers.length === 1);
  desk.update(waiting(call));
  desk.update(waiting());
  desk.update(waiting(call));
  await until(() => answers.length === 2);
  expect(answers).toEqual([{ decision: "skip" }, { decision: "approve" }]);
  expect(seen.shown.match(/Run it\?/g)).toHaveLength(2);
});

it("hears Ctrl-C, which a terminal of single keys makes no signal of, and leaves the terminal as it was", async () => {
  const { desk, answers, raw, seen, until } = openDesk(["\u0003"]);
  desk.update(waiting(call));
  await until(() => seen.interrupted === 1);
  await desk.close();
  expect(seen).toMatchObject({ interrupted: 1, held: 0 });
  expect(raw.at(-1)).toBe(false);
  expect(answers).toEqual([]);
});
