import { describe, expect, it } from "vitest";
import { locate, type Message } from "./conversation.ts";

const human = (text: string): Message => ({ role: "human", text });
const assistant = (...calls: string[]): Message => ({
  role: "assistant",
  text: "",
  toolCalls: calls.map((id) => ({ id, name: `tool-${id}` })),
});
const tool = (callId: string): Message => ({ role: "tool", callId, text: `result of ${callId}` });
const at = (...messages: Message[]) => locate({ model: "m", system: "", tools: [], size: 0, messages });

describe("locate", () => {
  it("counts assistant messages since the last human message", () => {
    expect(at(human("a")).turn).toBe(0);
    expect(at(human("a"), assistant("1"), tool("1")).turn).toBe(1);
    expect(at(human("a"), assistant("1"), tool("1"), assistant(), human("b")).turn).toBe(0);
    expect(at(human("a"), assistant(), human("b"), assistant("2"), tool("2")).turn).toBe(1);
  });

  it("knows results by the name of the tool, and only those of this question", () => {
    const { results } = at(
      human("a"),
      assistant("1"),
      tool("1"),
      human("b"),
      assistant("2", "3"),
      tool("3"),
      tool("2"),
    );
    expect(results).toEqual([
      { tool: "tool-3", text: "result of 3" },
      { tool: "tool-2", text: "result of 2" },
    ]);
  });

  describe("with calls whose outcome was lost", () => {
    const lost = (callId: string): Message => ({ role: "tool", callId, text: "unknown" });
    const look = (...messages: Message[]) =>
      locate({ model: "m", system: "", tools: [], size: 0, messages }, (text) => text === "unknown");

    it("stays at their turn, for these calls alone", () => {
      const asked = [human("a"), assistant("1"), tool("1"), assistant("2", "3", "4")];
      expect(look(...asked, lost("2"), tool("3"), lost("4"))).toMatchObject({
        turn: 1,
        repeat: { calls: [0, 2], count: 1 },
        results: [{ tool: "tool-1" }, { tool: "tool-3" }],
      });
    });

    it("goes on once they have results, and stays for those that are lost again", () => {
      const asked = [human("a"), assistant("1", "2", "3"), tool("1"), lost("2"), lost("3"), assistant("2b", "3b")];
      expect(look(...asked, tool("2b"), lost("3b"))).toMatchObject({ turn: 0, repeat: { calls: [2], count: 2 } });
      const { turn, repeat, results } = look(...asked, tool("2b"), lost("3b"), assistant("3c"), tool("3c"));
      expect([turn, repeat, results.length]).toEqual([1, undefined, 3]);
    });

    it("forgets them when a human speaks", () => {
      expect(look(human("a"), assistant("1"), lost("1"), human("b"))).toEqual({
        turn: 0,
        results: [],
        human: ["a", "b"],
      });
    });
  });

  it("takes neighbouring human messages as one utterance", () => {
    expect(at(human("a"), human("b"), assistant(), human("c")).human).toEqual(["a\n\nb", "c"]);
  });
});
