import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  AgentExecutionStatusSchema,
  ExecutionPhase,
  MessageType,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import { describe, expect, test } from "vitest";
import { compare, type Disturbed, type Undisturbed } from "./compare.ts";
import { differencesOf, hashStatus, normalStatus, type NormalStatus } from "./normal-status.ts";
import { planStrikes } from "./plan.ts";
import { differingPaths } from "./workspace-tree.ts";
import type { DurablePoint, Victim } from "./durable-points.ts";

type Status = MessageInitShape<typeof AgentExecutionStatusSchema>;

/** The same run as another repetition tells it: other ids, times, folders, revision and usage. */
function statusOf(
  run: string,
  change: Partial<Record<"result" | "text", string>> & { unknown?: boolean } = {},
): Status {
  const call = {
    id: `toolu-${run}`,
    name: "execute",
    args: { command: `cat /tmp/${run}/a` },
    result: change.unknown ? "" : (change.result ?? `/tmp/${run}/a: 1`),
    status: change.unknown ? ToolCallStatus.TOOL_CALL_OUTCOME_UNKNOWN : ToolCallStatus.TOOL_CALL_COMPLETED,
    startedAt: `2026-01-0${run.length}T00:00:00Z`,
  };
  return {
    phase: ExecutionPhase.EXECUTION_COMPLETED,
    messages: [
      { id: `aex-${run}`, type: MessageType.MESSAGE_HUMAN, content: "Go.", timestamp: run },
      { id: `msg-${run}`, type: MessageType.MESSAGE_AI, content: change.text ?? "Yes.", toolCalls: [call] },
    ],
    toolCalls: [call],
    todos: { [`todo-${run}`]: { id: `todo-${run}`, content: "Do it", createdAt: run } },
    revision: run.length,
    usage: { inputTokens: run.length },
    startedAt: run,
  };
}

const normal = (run: string, change?: Parameters<typeof statusOf>[1]): NormalStatus =>
  normalStatus(create(AgentExecutionStatusSchema, statusOf(run, change)), {
    workspace: `/tmp/${run}`,
    execution: `aex-${run}`,
  });

describe("the normal form of a status", () => {
  test("is the same for the same run, whatever its ids, times, folders and counts", () => {
    expect(normal("a")).toEqual(normal("bcd"));
    expect(hashStatus(normal("a"))).toBe(hashStatus(normal("bcd")));
    expect(JSON.stringify(normal("a"))).toContain("cat <workspace>/a");
  });

  test.each([
    ["a text", { text: "No." }, 'messages[1].content: "Yes." → "No."'],
    ["a result", { result: "other" }, 'messages[1].toolCalls[0].result: "<workspace>/a: 1" → "other"'],
  ])("is another one for %s", (_, change, expected) => {
    expect(differencesOf(normal("a"), normal("b", change))[0]).toBe(expected);
    expect(hashStatus(normal("b", change))).not.toBe(hashStatus(normal("a")));
  });
});

const undisturbed: Undisturbed = {
  status: normal("a"),
  rows: new Map([["toolu-a", { isUnknown: false }]]),
  toolCalls: new Map([["m/toolu-a", { tool: "execute", once: true, starts: 1, isUnknown: false }]]),
  tree: new Map([["a", "file 1"]]),
  effects: new Map([["m/toolu-a", { before: new Map(), after: new Map([["a", "file 1"]]) }]]),
  orphans: [],
  leftovers: [],
  crashes: [],
  durationMs: 1,
};
const same: Disturbed = { ...undisturbed, status: normal("b"), struck: true, openAtStrike: [] };
const unknown: Disturbed = {
  ...same,
  status: normal("b", { unknown: true }),
  rows: new Map([["toolu-a", { isUnknown: true }]]),
  toolCalls: new Map([["m/toolu-a", { tool: "execute", once: true, starts: 1, isUnknown: true }]]),
  openAtStrike: ["m/toolu-a"],
};
const differences = (actual: Disturbed): readonly string[] => compare(undisturbed, actual).differences;

describe("a disturbed run", () => {
  test("that ended as if nothing had happened has no differences", () => {
    expect(compare(undisturbed, same)).toMatchObject({ differences: [], unknown: 0 });
  });

  test("may say of a call under way that nobody knows, whether it happened or not", () => {
    expect(compare(undisturbed, unknown)).toMatchObject({ differences: [], unknown: 1 });
    expect(compare(undisturbed, { ...unknown, tree: new Map() }).differences).toEqual([]);
  });

  test("has to say so in its status, also of a sub-agent's call, which has no row else", () => {
    const { status } = same;
    expect(differences({ ...unknown, status })).toEqual([]);
    expect(differences({ ...unknown, status, rows: new Map() })).toEqual([
      "tool call m/toolu-a is unknown, and the status does not say so",
    ]);
  });

  test.each<[string, Disturbed, string]>([
    ["never reached its point", { ...same, struck: false }, "the point was not reached"],
    [
      "ended otherwise",
      { ...same, status: normal("b", { text: "No." }) },
      'status: messages[1].content: "Yes." → "No."',
    ],
    [
      "did it twice",
      { ...same, toolCalls: new Map([["m/toolu-a", { tool: "execute", once: true, starts: 2, isUnknown: false }]]) },
      "execute was started 2 times, and may be once only",
    ],
    ["did something else", { ...same, toolCalls: new Map() }, "tool calls: execute → "],
    ["left the effect out", { ...same, tree: new Map() }, "workspace: a"],
    ["had another effect while unknown", { ...unknown, tree: new Map([["a", "file 2"]]) }, "workspace: a"],
    [
      "is unsure of a call that had ended",
      { ...unknown, openAtStrike: [] },
      "tool call m/toolu-a is unknown, and was not under way",
    ],
    [
      "keeps to itself that it is unsure",
      { ...unknown, status: normal("b"), rows: same.rows },
      "tool call m/toolu-a is unknown, and the status does not say so",
    ],
    [
      "is unsure without reason",
      { ...unknown, toolCalls: same.toolCalls },
      "tool call toolu-a is unknown in the status alone",
    ],
    ["left a process", { ...same, orphans: ["17 sleep 9"] }, "left running: 17 sleep 9"],
    ["left a lease", { ...same, leftovers: ["1 task leased"] }, "left on the server: 1 task leased"],
    [
      "lost a process by itself",
      { ...same, crashes: ["runner ended with exit code 1"] },
      "runner ended with exit code 1",
    ],
  ])("that %s is told", (_, actual, expected) => {
    expect(differences(actual)).toContain(expected);
  });
});

test("what an unknown call changed may be as before, and nothing else", () => {
  const effect = {
    before: new Map([["a", "1"]]),
    after: new Map([
      ["a", "2"],
      ["b", "1"],
    ]),
  };
  const expected = new Map([
    ["a", "2"],
    ["b", "1"],
    ["c", "1"],
  ]);
  const differing = (...actual: [string, string][]): string[] =>
    differingPaths({ expected, actual: new Map(actual) }, [effect]);
  expect(differing(["a", "2"], ["b", "1"], ["c", "1"])).toEqual([]);
  expect(differing(["a", "1"], ["c", "1"])).toEqual([]);
  expect(differing(["a", "3"], ["b", "1"], ["c", "1"])).toEqual(["a"]);
  expect(differing(["a", "1"])).toEqual(["c"]);
  expect(differing(["a", "2"], ["b", "1"], ["c", "1"], ["d", "1"])).toEqual(["d"]);
});

describe("the plan", () => {
  const points = Array.from({ length: 12 }, (_, index): DurablePoint => ({
    kind: "k",
    ordinal: index + 1,
    side: "before",
  }));
  const victims: Victim[] = ["runner", "server", "engine"];
  const pairs = (atMost?: number): string[] =>
    planStrikes({ points, victims, atMost }).map(({ point, victim }) => `${point.ordinal} ${victim}`);

  test("is every point with every victim", () => {
    expect(new Set(pairs()).size).toBe(36);
  });

  test.each([1, 5, 6, 10, 12, 13, 24, 30, 35])(
    "of at most %i has so many, none twice, and all victims in turn",
    (atMost) => {
      const planned = pairs(atMost);
      expect([planned.length, new Set(planned).size]).toEqual([atMost, atMost]);
      const counts = victims.map((victim) => planned.filter((pair) => pair.endsWith(victim)).length);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(2);
    },
  );

  test("spreads a few over the whole run", () => {
    expect(pairs(4)).toEqual(["1 runner", "4 server", "7 engine", "10 runner"]);
  });
});
