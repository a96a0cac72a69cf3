import { AIMessage, type BaseMessage, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { expect, it } from "vitest";
import { callKeyOf } from "./call-key.ts";

const root = "tools:t1";

function asks(id: string, ...calls: string[]): BaseMessage {
  return new AIMessage({ id, content: "", tool_calls: calls.map((call) => ({ id: call, name: "execute", args: {} })) });
}

const answers = (call: string): BaseMessage => new ToolMessage({ content: "", tool_call_id: call });

it("is the message that asked, and the call's id", () => {
  const messages = [new HumanMessage("Go."), asks("m1", "c1", "c2")];
  expect(callKeyOf({ messages, id: "c2", checkpointNs: root })).toBe("m1/c2");
});

it("takes the latest message, where a provider counts ids anew", () => {
  const messages = [asks("m1", "call_0"), answers("call_0"), asks("m2", "call_0")];
  expect(callKeyOf({ messages, id: "call_0", checkpointNs: root })).toBe("m2/call_0");
  expect(callKeyOf({ messages: messages.slice(0, 1), id: "call_0", checkpointNs: root })).toBe("m1/call_0");
});

it("tells sub-agents apart that were answered the same", () => {
  const messages = [asks("m1", "c1")];
  expect(callKeyOf({ messages, id: "c1", checkpointNs: "tools:a|tools:x" })).toBe("tools:a/m1/c1");
  expect(callKeyOf({ messages, id: "c1", checkpointNs: "tools:b|tools:y" })).toBe("tools:b/m1/c1");
});

it("tells calls apart that a provider gave one id", () => {
  const messages = [asks("m1", "", "")];
  const keys = ["tools:x", "tools:y"].map((checkpointNs) => callKeyOf({ messages, id: "", checkpointNs }));
  expect(new Set(keys).size).toBe(2);
});

it("falls back to the task where no message holds the call", () => {
  expect(callKeyOf({ messages: [], id: "c1", checkpointNs: root })).toBe("tools:t1/c1");
});

it("stays short, whatever a provider puts into an id", () => {
  const [long, longer] = ["x".repeat(5000), "x".repeat(5001)];
  const messages = [asks("m1", long, longer)];
  const keys = [long, longer].map((id) => callKeyOf({ messages, id, checkpointNs: root }));
  expect(keys[0]).toMatch(/^[0-9a-f]{64}$/);
  expect(keys[0]).not.toBe(keys[1]);
});
