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

  it("takes neighbouring human messages as one utterance", () => {
    expect(at(human("a"), human("b"), assistant(), human("c")).human).toEqual(["a\n\nb", "c"]);
  });
});
