import { clone, create, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
  MessageType,
  type StatusDelta,
  StatusDeltaSchema,
  TextKind,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { filledStatus } from "./__fixtures__/filled-status.ts";
import { delta, fold, run } from "./__fixtures__/runs.ts";
import { StatusError } from "./errors.ts";
import { mergeDeltas } from "./merge-deltas.ts";
import { applyDelta, createStatusFold, emptyStatus } from "./status-fold.ts";

function same(a: AgentExecutionStatus, b: AgentExecutionStatus): void {
  expect(equals(AgentExecutionStatusSchema, a, b) || a).toEqual(true);
}

/** Rows of one number belong together: message m1, its call c1, and that call's sub-agent. */
function beginsAnew({ changes }: StatusDelta): boolean {
  const removed = new Set<string>();
  return changes.some(({ change }) => {
    if (change.case === "messageRemoved") removed.add(change.value.messageId.slice(1));
    else if (change.case === "toolCallRemoved") removed.add(change.value.toolCallId.slice(1));
    else if (change.case === "messageStarted") return removed.has(change.value.messageId.slice(1));
    else if (change.case === "toolCall") return removed.has(change.value.call?.id.slice(1) ?? "");
    else if (change.case === "subAgent") return removed.has(change.value.subAgent?.id.slice(1) ?? "");
    return false;
  });
}

describe("laws", () => {
  test("the batching of changes does not matter", () => {
    fc.assert(
      fc.property(run, (deltas) => {
        const single = deltas.flatMap(({ changes }) =>
          changes.map((each) => create(StatusDeltaSchema, { changes: [each] })),
        );
        const one = create(StatusDeltaSchema, { changes: deltas.flatMap(({ changes }) => changes) });
        same(fold(single), fold(deltas));
        same(fold([one]), fold(deltas));
      }),
    );
  });

  test("a delta right after itself changes nothing, unless it begins anew what it took back", () => {
    fc.assert(
      fc.property(run, (deltas) => {
        same(fold(deltas.flatMap((each) => (beginsAnew(each) ? [each] : [each, each]))), fold(deltas));
      }),
    );
  });

  test("a snapshot at any point, gone over the wire, and the deltas after it give the same status", () => {
    fc.assert(
      fc.property(run, fc.nat(14), (deltas, k) => {
        const snapshot = toBinary(AgentExecutionStatusSchema, fold(deltas.slice(0, k)));
        same(fold(deltas.slice(k), fromBinary(AgentExecutionStatusSchema, snapshot)), fold(deltas));
      }),
    );
  });

  test("merging deltas does what they do one after the other", () => {
    fc.assert(
      fc.property(run, fc.nat(14), (deltas, k) => {
        const before = fold(deltas.slice(0, k));
        same(fold([mergeDeltas(...deltas.slice(k))], before), fold(deltas));
        same(fold([mergeDeltas(mergeDeltas(...deltas.slice(0, k)), mergeDeltas(...deltas.slice(k)))]), fold(deltas));
      }),
    );
  });

  test("merging is associative", () => {
    fc.assert(
      fc.property(run, run, run, ([a], [b], [c]) => {
        const [x, y, z] = [a, b, c].map((each) => each ?? create(StatusDeltaSchema));
        const left = mergeDeltas(mergeDeltas(x!, y!), z!);
        const right = mergeDeltas(x!, mergeDeltas(y!, z!));
        expect(left).toEqual(right);
        expect(mergeDeltas(x!, y!, z!)).toEqual(left);
      }),
    );
  });

  test("merging and applying leave their arguments alone", () => {
    fc.assert(
      fc.property(run, (deltas) => {
        const copies = deltas.map((each) => clone(StatusDeltaSchema, each));
        const status = fold(deltas);
        const kept = clone(AgentExecutionStatusSchema, status);
        mergeDeltas(...deltas);
        for (const each of deltas.slice(0, 1)) applyDelta(status, each);
        expect(deltas).toEqual(copies);
        same(status, kept);
      }),
    );
  });
});

/** Changes that say all of a status, rows at first by their ids alone. */
function sayAll(status: AgentExecutionStatus): StatusDelta[] {
  const { phase, error, startedAt, completedAt, todos, usage, timing, skills } = status;
  const begun = [...status.toolCalls, ...status.messages.flatMap(({ toolCalls }) => toolCalls)];
  return [
    ...status.messages.flatMap(({ id: messageId, content, reasoning, usage, ...rest }) => [
      delta({ case: "messageStarted", value: { messageId, ...rest, $typeName: undefined } }),
      delta({ case: "textAppended", value: { messageId, kind: TextKind.CONTENT, offset: 0, text: content } }),
      delta({ case: "textAppended", value: { messageId, kind: TextKind.REASONING, offset: 0, text: reasoning } }),
      delta({ case: "messageUsage", value: { messageId, usage } }),
      ...rest.toolCalls.map(({ id }) => delta({ case: "toolCall", value: { messageId, call: { id } } })),
    ]),
    ...begun.map(({ id }) => delta({ case: "toolCall", value: { call: { id } } })),
    ...begun.map((call) => delta({ case: "toolCall", value: { call } })),
    ...status.subAgentExecutions.map(({ id }) => delta({ case: "subAgent", value: { subAgent: { id } } })),
    ...status.subAgentExecutions.map((subAgent) => delta({ case: "subAgent", value: { subAgent } })),
    delta({ case: "todos", value: { todos } }),
    delta({ case: "usage", value: usage ?? {} }),
    delta({ case: "timing", value: timing ?? {} }),
    delta({ case: "skills", value: { skills } }),
    delta({ case: "run", value: { phase, error, startedAt, completedAt } }),
  ];
}

describe("a status with every field set", () => {
  const all = filledStatus();
  // Calls stand in two places: those of messages come first in the list of all.
  all.toolCalls.unshift(...all.messages.flatMap(({ toolCalls }) => toolCalls));

  test("can be said by changes, one by one or as one", () => {
    same(fold(sayAll(all)), all);
    same(fold([mergeDeltas(...sayAll(all))]), all);
  });

  test("hashes the same however it came about", () => {
    const folded = createStatusFold();
    for (const each of sayAll(all)) {
      folded.hash();
      folded.apply(each);
      expect(folded.hash()).toBe(createStatusFold(folded.status).hash());
    }
    expect(folded.hash()).toBe(createStatusFold(all).hash());
  });
});

describe("changes that do not fit", () => {
  const started = delta({ case: "messageStarted", value: { messageId: "m", type: MessageType.MESSAGE_AI } });
  const text = (offset: number, said: string): StatusDelta =>
    delta({ case: "textAppended", value: { messageId: "m", kind: TextKind.CONTENT, offset, text: said } });

  test.each([
    ["text-gap", [started, text(0, "é"), text(3, "x")]],
    ["text-boundary", [started, text(0, "é"), text(1, "€")]],
    ["unknown-row", [text(0, "x")]],
    ["unknown-row", [delta({ case: "messageUsage", value: { messageId: "m", usage: { inputTokens: 1 } } })]],
    ["unknown-row", [delta({ case: "toolCall", value: { messageId: "m", call: { id: "c" } } })]],
    ["unknown-row", [started, mergeDeltas(delta({ case: "messageRemoved", value: { messageId: "m" } }), text(0, "x"))]],
  ])("are refused as %s", (code, deltas) => {
    expect(() => fold(deltas)).toThrow(expect.objectContaining({ code, name: "StatusError" }));
  });

  test("leave the status as it was, also the changes before them in their delta", () => {
    const folded = createStatusFold();
    folded.apply(started);
    folded.apply(text(0, "abc"));
    const before = clone(AgentExecutionStatusSchema, folded.status);
    const bad = mergeDeltas(text(3, "d"), delta({ case: "usage", value: { inputTokens: 1 } }), text(9, "e"));
    let thrown: unknown;
    try {
      folded.apply(bad);
    } catch (error) {
      thrown = error;
    }
    expect(StatusError.is(thrown)).toBe(true);
    expect(StatusError.is(new Error("other"))).toBe(false);
    same(folded.status, before);
    folded.apply(text(3, "d"));
    expect(folded.status.messages[0]?.content).toBe("abcd");
  });
});

test("each tool call stands in its message and in the list of all, as one row", () => {
  const status = fold([
    delta(
      { case: "messageStarted", value: { messageId: "m", type: MessageType.MESSAGE_AI } },
      {
        case: "toolCall",
        value: { messageId: "m", call: { id: "c", name: "ls", status: ToolCallStatus.TOOL_CALL_PENDING } },
      },
      {
        case: "toolCall",
        value: { messageId: "m", call: { id: "c", status: ToolCallStatus.TOOL_CALL_COMPLETED, result: "a" } },
      },
    ),
  ]);
  expect(status.toolCalls).toMatchObject([
    { id: "c", name: "ls", result: "a", status: ToolCallStatus.TOOL_CALL_COMPLETED },
  ]);
  expect(status.messages[0]?.toolCalls).toEqual(status.toolCalls);
});

test("a terminal phase keeps its error and its times", () => {
  const ended = delta({
    case: "run",
    value: { phase: ExecutionPhase.EXECUTION_CANCELLED, error: "stopped", completedAt: "t1" },
  });
  const late = delta({
    case: "run",
    value: { phase: ExecutionPhase.EXECUTION_FAILED, error: "boom", completedAt: "t2" },
  });
  expect(fold([ended, late])).toMatchObject({
    phase: ExecutionPhase.EXECUTION_CANCELLED,
    error: "stopped",
    completedAt: "t1",
  });
});

test("an append costs what it appends, however long the message is", () => {
  let visited = 0;
  const counted = (length: number): number => {
    const folded = createStatusFold(
      create(AgentExecutionStatusSchema, {
        messages: Array.from({ length }, (_, at) => ({ id: `m${at}`, content: "x" })),
      }),
    );
    const { messages } = folded.status;
    folded.status.messages = new Proxy(messages, {
      get(target, key, receiver) {
        visited += 1;
        return Reflect.get(target, key, receiver) as unknown;
      },
    });
    visited = 0;
    folded.apply(
      delta({
        case: "textAppended",
        value: { messageId: `m${length - 1}`, kind: TextKind.CONTENT, offset: 1, text: "y" },
      }),
    );
    folded.apply(delta({ case: "messageStarted", value: { messageId: "new", type: MessageType.MESSAGE_AI } }));
    folded.apply(delta({ case: "toolCall", value: { messageId: "new", call: { id: "c" } } }));
    return visited;
  };
  expect(counted(10_000)).toBe(counted(100));
});

test("the empty status is a fresh one each time", () => {
  emptyStatus().messages.push(create(AgentExecutionStatusSchema, { messages: [{ id: "m" }] }).messages[0]!);
  expect(emptyStatus().messages).toEqual([]);
});
