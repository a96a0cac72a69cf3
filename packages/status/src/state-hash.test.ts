import { create, equals, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import { type AgentExecutionStatus, AgentExecutionStatusSchema, TextKind } from "@stigmer/protos/agentexecution/v1";
import * as fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { filledStatus } from "./__fixtures__/filled-status.ts";
import { hashByTheReadme } from "./__fixtures__/hash-by-the-readme.ts";
import { mutantsOf } from "./__fixtures__/mutants.ts";
import { delta, fold, run } from "./__fixtures__/runs.ts";
import { hashesContradict } from "./hashes-contradict.ts";
import { mergeDeltas } from "./merge-deltas.ts";
import { createStatusFold } from "./status-fold.ts";

const hashOf = (status: AgentExecutionStatus): string => createStatusFold(status).hash();

/** A status with everything in it that a status can have. */
const full = (): AgentExecutionStatus =>
  create(AgentExecutionStatusSchema, {
    phase: 2,
    error: "e",
    startedAt: "2026-01-01T00:00:00Z",
    completedAt: "2026-01-01T00:00:01Z",
    messages: [
      {
        id: "m1",
        type: 1,
        content: "Hello 😀 wörld €",
        timestamp: "t",
        metadata: { a: null, b: [1, -0.5, true], c: { d: "x" } },
      },
      {
        id: "m2",
        type: 2,
        content: "b",
        reasoning: "r",
        toolCalls: [{ id: "c1", name: "ls", args: {} }, { id: "c2" }],
      },
    ],
    toolCalls: [
      {
        id: "c1",
        name: "ls",
        args: { path: "/" },
        result: "r",
        status: 3,
        componentMetadata: { componentType: "t", componentGroup: "g", layoutHint: "l", metadata: { display: "ls" } },
        startedAt: "s",
        completedAt: "c",
        error: "x",
      },
      { id: "c2", args: {} },
    ],
    subAgentExecutions: [
      {
        id: "s",
        name: "n",
        input: "i",
        output: "o",
        status: 2,
        startedAt: "s",
        completedAt: "c",
        error: "e",
        metadata: { n: 1 },
      },
      { id: "s2" },
    ],
    todos: {
      t1: { id: "t1", content: "c", status: 1, createdAt: "a", updatedAt: "b" },
      t2: { id: "t2", content: "d", status: 2 },
    },
    usage: { inputTokens: 1, outputTokens: 2, cachedInputTokens: 3, reasoningTokens: 4_294_967_295, modelCalls: -1 },
  });

describe("the hash of a status", () => {
  test("is the same however it came about, and the fold was asked for it", () => {
    fc.assert(
      fc.property(run, fc.nat(14), fc.nat(14), (deltas, k, asked) => {
        const straight = createStatusFold();
        for (const [at, each] of deltas.entries()) {
          if (at >= asked) straight.hash();
          straight.apply(each);
        }
        const snapshot = toBinary(AgentExecutionStatusSchema, fold(deltas.slice(0, k)));
        const resumed = createStatusFold(fromBinary(AgentExecutionStatusSchema, snapshot));
        resumed.hash();
        resumed.apply(mergeDeltas(...deltas.slice(k)));
        expect(straight.hash()).toBe(resumed.hash());
        expect(straight.hash()).toBe(hashOf(straight.status));
        const json = toJson(AgentExecutionStatusSchema, straight.status);
        expect(straight.hash()).toBe(hashOf(fromJson(AgentExecutionStatusSchema, json)));
      }),
      { numRuns: 500 },
    );
  });

  test("tells two statuses apart exactly when they differ", () => {
    fc.assert(
      fc.property(run, fc.nat(14), fc.nat(14), (deltas, k, l) => {
        const [one, other] = [fold(deltas.slice(0, k)), fold(deltas.slice(0, l))];
        expect(hashOf(one) === hashOf(other)).toBe(equals(AgentExecutionStatusSchema, one, other));
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ["written here", full()],
    ["of which every field is set, by the descriptors", filledStatus()],
  ])("changes with every single thing that there is in a status %s", (_, status) => {
    // Numbers for enums, so that every number is one to change.
    const json = toJson(AgentExecutionStatusSchema, status, { enumAsInteger: true });
    const hashes = new Map([[hashOf(status), "nothing"]]);
    for (const [what, mutant] of mutantsOf(json)) {
      const hash = hashOf(fromJson(AgentExecutionStatusSchema, mutant));
      expect(`${what} is ${hashes.get(hash) ?? "new"}`).toBe(`${what} is new`);
      hashes.set(hash, what);
    }
    expect(hashes.size).toBeGreaterThan(120);
  });

  test("leaves out what no delta says", () => {
    const json = toJson(AgentExecutionStatusSchema, full()) as object;
    const more = { ...json, revision: 7, callbackToken: "AQ==", audit: { specAudit: { event: "created" } } };
    expect(hashOf(fromJson(AgentExecutionStatusSchema, more))).toBe(hashOf(full()));
  });

  test("is by the rules that other languages follow", () => {
    expect(createStatusFold().hash()).toBe("3:0000000000000000");
    expect(hashOf(full())).toBe(hashByTheReadme(full()));
    expect(hashOf(filledStatus())).toBe(hashByTheReadme(filledStatus()));
    fc.assert(
      fc.property(run, (deltas) => {
        expect(hashOf(fold(deltas))).toBe(hashByTheReadme(fold(deltas)));
      }),
    );
    expect(hashOf(full())).toMatchInlineSnapshot(`"3:330152d10048e1b1"`);
  });

  test("costs what was appended, however long the message is", () => {
    const folded = createStatusFold(create(AgentExecutionStatusSchema, { messages: [{ id: "m", content: "x" }] }));
    let offset = 1;
    const append = (text: string): void => {
      folded.apply(delta({ case: "textAppended", value: { messageId: "m", kind: TextKind.CONTENT, offset, text } }));
      offset += text.length;
    };
    folded.hash();
    append("y".repeat(1_000_000));
    folded.hash();
    const { status } = folded;
    const reads = vi.spyOn(String.prototype, "charCodeAt");
    append("z".repeat(10));
    folded.hash();
    const visited = reads.mock.calls.length;
    reads.mockRestore();
    expect(visited).toBeLessThan(200);
    expect(folded.hash()).toBe(hashOf(status));
  });
});

test("hashes by different rules do not contradict each other", () => {
  expect(hashesContradict("1:aa", "1:ab")).toBe(true);
  expect(hashesContradict("1:aa", "1:aa")).toBe(false);
  expect(hashesContradict("1:aa", "2:ab")).toBe(false);
  expect(hashesContradict("1:aa", "")).toBe(false);
  expect(hashesContradict("", "1:aa")).toBe(false);
  expect(hashesContradict("aa", "ab")).toBe(false);
});
