import { AIMessage, type BaseMessage, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { expect, it } from "vitest";
import { canonical, findRepetitions } from "./repeated-calls.ts";

let count = 0;

/** A turn of the model with its calls, each as `name args result`. */
function turn(...calls: [name: string, args: Record<string, unknown>, result: string][]): BaseMessage[] {
  const withIds = calls.map(([name, args, result]) => ({ id: `call-${(count += 1)}`, name, args, result }));
  return [
    new AIMessage({ content: "", tool_calls: withIds.map(({ id, name, args }) => ({ id, name, args })) }),
    ...withIds.map(
      ({ id, name, result }) => new ToolMessage({ content: result.replace("ID", id), tool_call_id: id, name }),
    ),
  ];
}

const times = (...messages: BaseMessage[][]): number[] => findRepetitions(messages.flat()).map((found) => found.times);

it("counts the same call with the same result, whatever the order of its arguments", () => {
  expect(
    times(
      turn(["a", { x: 1, y: [1, 2] }, "r"]),
      turn(["a", { y: [1, 2], x: 1 }, "r"]),
      turn(["a", { x: 1, y: [1, 2] }, "r"]),
    ),
  ).toEqual([2, 3]);
  expect(canonical({ b: { d: 1, c: [{ f: 1, e: 2 }] }, a: null })).toBe('{"a":null,"b":{"c":[{"e":2,"f":1}],"d":1}}');
});

it("begins anew with another result, other arguments, another tool, or what a person says", () => {
  const same = (): BaseMessage[] => turn(["a", {}, "r"]);
  expect(times(same(), turn(["a", {}, "other"]), same())).toEqual([]);
  expect(times(same(), turn(["a", { x: 1 }, "r"]), same())).toEqual([]);
  expect(times(same(), turn(["b", {}, "r"]), same())).toEqual([]);
  expect(times(same(), [new HumanMessage("Again.")], same())).toEqual([]);
});

it("counts in turns of several calls, and several times in one turn", () => {
  const both = (): BaseMessage[] => turn(["a", {}, "r"], ["b", {}, "s"]);
  expect(times(both(), both(), both())).toEqual([2, 2, 3, 3]);
  expect(times(turn(["a", {}, "r"], ["a", {}, "r"], ["a", {}, "r"]))).toEqual([2, 3]);
});

it("does not take the path of a long result's file for a difference", () => {
  const long = (): BaseMessage[] => turn(["a", {}, "1 … /large_tool_results/ID.txt … 9"]);
  expect(times(long(), long(), long())).toEqual([2, 3]);
});
