import { expect, it } from "vitest";
import { pack, unpack } from "./packed-values.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const message = JSON.stringify({
  lc: 1,
  type: "constructor",
  id: ["langchain_core", "messages", "AIMessageChunk"],
  kwargs: { content: "Hello.", additional_kwargs: {}, response_metadata: {}, tool_calls: [], invalid_tool_calls: [] },
});

it.each([
  ["a short value", "json", bytes('"a"')],
  ["a message", "json", bytes(message)],
  ["a long text", "json", bytes(JSON.stringify(message.repeat(50)))],
  ["what is too long to pack", "json", bytes("x".repeat(100_000))],
  ["bytes", "bytes", new Uint8Array(500)],
  ["nothing", "json", new Uint8Array()],
])("gives %s back as it was", (_what, type, value) => {
  const back = unpack(pack({ type, value }));
  expect(back.type).toBe(type);
  expect(Buffer.from(back.value).equals(value)).toBe(true);
});

it("makes a message a third of what it was, and leaves alone what gets no shorter", () => {
  expect(pack({ type: "json", value: bytes(message) }).value.byteLength).toBeLessThan(message.length / 3);
  const random = crypto.getRandomValues(new Uint8Array(1_000));
  expect(pack({ type: "bytes", value: random })).toEqual({ type: "bytes", value: random });
});

it("reads what was packed before: its dictionary stays", () => {
  const packed = { type: "z1+json", value: Buffer.from("o0tdqeSRmpOTrwfyAJYqBkdxjlzYQsMHey6vrQUA", "base64") };
  expect(Buffer.from(unpack(packed).value).toString()).toBe(message);
});
