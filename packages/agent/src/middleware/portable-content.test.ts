import { AIMessage, type BaseMessage, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { expect, it } from "vitest";
import { toPortable } from "./portable-content.ts";

const image = { type: "image", mimeType: "image/png", data: "aGk=" };
const url = "data:image/png;base64,aGk=";

function result(id: string, content: ToolMessage["content"]): ToolMessage {
  return new ToolMessage({ content, tool_call_id: id, name: "read_file", status: "success" });
}

const shape = (messages: readonly BaseMessage[]): unknown[] => messages.map(({ type, content }) => [type, content]);

it("makes text blocks one string, and leaves strings alone", () => {
  const plain = result("1", "plain");
  const blocks = result("2", [
    { type: "text", text: "a" },
    { type: "text", text: "b" },
  ]);
  const portable = toPortable([new HumanMessage("Hi"), plain, blocks]);
  expect(portable[1]).toBe(plain);
  expect(portable[2]).toMatchObject({ content: "a\nb", tool_call_id: "2", name: "read_file", status: "success" });
  expect(blocks.content).toHaveLength(2);
});

it("moves images behind the last result of the turn, as data URLs", () => {
  const portable = toPortable([
    new AIMessage("Looking."),
    result("1", [image]),
    result("2", "text"),
    result("3", [{ type: "image_url", image_url: { url } }]),
    new AIMessage("I see."),
  ]);
  const label = { type: "text", text: "The image that read_file returned:" };
  const shown = { type: "image_url", image_url: { url } };
  expect(shape(portable)).toEqual([
    ["ai", "Looking."],
    ["tool", "[The image follows in the next message.]"],
    ["tool", "text"],
    ["tool", "[The image follows in the next message.]"],
    ["human", [label, shown, label, shown]],
    ["ai", "I see."],
  ]);
});

it("names what no model can be shown", () => {
  const [portable] = toPortable([result("1", [{ type: "file", mimeType: "application/pdf", data: "aGk=" }])]);
  expect(portable!.content).toBe("[Content of type application/pdf can't be shown here. Use a command to read it.]");
});
