import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { Command, MemorySaver, Send } from "@langchain/langgraph";
import type { SerializerProtocol } from "@langchain/langgraph-checkpoint";
import fc from "fast-check";
import { expect, it } from "vitest";
import { createResultForm } from "./recorded-result.ts";

const form = createResultForm(new MemorySaver().serde);

it("gives a tool message back as it was", async () => {
  const text = fc.string({ unit: "grapheme" });
  const block = fc.record({ type: fc.constant("text"), text });
  const fields = fc.record({
    content: fc.oneof(text, fc.array(block)),
    tool_call_id: text,
    name: text,
    status: fc.constantFrom<"success" | "error">("success", "error"),
    // No key of JSON data that JavaScript would take for a prototype: no serialiser keeps that.
    artifact: fc.jsonValue().filter((value) => !JSON.stringify(value).includes("__proto__")),
    additional_kwargs: fc.dictionary(fc.stringMatching(/^[a-z][a-z_]{0,19}$/), text, { noNullPrototype: true }),
  });
  await fc.assert(
    fc.asyncProperty(fields, async (message) => {
      const back = await form.read(await form.write(new ToolMessage({ ...message } as never)));
      expect(ToolMessage.isInstance(back)).toBe(true);
      const { content, tool_call_id, name, status, artifact, additional_kwargs } = back as ToolMessage;
      const seen = { content, tool_call_id, name, status, artifact, additional_kwargs };
      // -0 is not in JSON.
      expect(JSON.parse(JSON.stringify(seen))).toEqual(JSON.parse(JSON.stringify(message)));
    }),
  );
});

it("gives a command back as LangGraph runs it", async () => {
  const reply = new ToolMessage({ content: "planned", tool_call_id: "c1" });
  const command = new Command({
    graph: Command.PARENT,
    goto: [new Send("model_request", { messages: [new HumanMessage("Hi.")] }), "tools"],
    update: { messages: [reply], todos: [{ content: "Rest", status: "pending" }] },
  });
  const back = (await form.read(await form.write(command))) as Command;
  expect(back).toBeInstanceOf(Command);
  expect(back.graph).toBe(Command.PARENT);
  const [send, node] = back.goto as [Send, string];
  expect(send).toBeInstanceOf(Send);
  expect((send.args as { messages: unknown[] }).messages[0]).toBeInstanceOf(HumanMessage);
  expect(node).toBe("tools");
  const update = back.update as unknown as { messages: ToolMessage[]; todos: unknown };
  expect(update.messages[0]?.text).toBe("planned");
  expect(update.todos).toEqual([{ content: "Rest", status: "pending" }]);
});

it("keeps the name that a serialiser gives to what it wrote", async () => {
  const turned = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => byte ^ 0xff);
  const inner = new MemorySaver().serde;
  const sealing: SerializerProtocol = {
    async dumpsTyped(value) {
      const [type, bytes] = await inner.dumpsTyped(value);
      return [`sealed+${type}`, turned(bytes)];
    },
    loadsTyped: (type, data) => inner.loadsTyped(type.replace("sealed+", ""), turned(data as Uint8Array)),
  };
  const sealed = createResultForm(sealing);
  const bytes = await sealed.write(new ToolMessage({ content: "secret", tool_call_id: "c1" }));
  expect(Buffer.from(bytes).includes("secret")).toBe(false);
  expect(((await sealed.read(bytes)) as ToolMessage).text).toBe("secret");
});
