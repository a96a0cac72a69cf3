import { AIMessage, HumanMessage } from "@langchain/core/messages";
import { Send } from "@langchain/langgraph";
import { expect, it } from "vitest";
import { restoreSends, shareSends } from "./shared-sends.ts";

const messages = [new HumanMessage("Go."), new AIMessage("Going.")];
const files = { "a.txt": "content" };
const channels = { messages, files, count: 1, empty: [] };

it("leaves out of a send what its checkpoint holds, and puts it back", () => {
  const call = { id: "1", name: "ls" };
  const sends = [
    { node: "tools", args: { messages: [...messages], files, lg_tool_call: call } },
    new Send("tools", { messages: messages.slice(0, 1), lg_tool_call: call }),
  ];
  const shared = shareSends(sends, channels);
  expect(shared).toEqual([
    { send: { node: "tools", args: { lg_tool_call: call } }, shared: ["messages", "files"] },
    { send: sends[1], shared: [] },
  ]);
  const [first, second] = restoreSends(shared, channels);
  expect(first).toEqual({ node: "tools", args: { messages, files, lg_tool_call: call } });
  expect(second?.args).toEqual(sends[1]?.args);
});

it("keeps a send's time-out", () => {
  const send = Object.assign(new Send("tools", { messages }), { timeout: 5 });
  expect(restoreSends(shareSends([send], channels), channels)).toEqual([
    { node: "tools", args: { messages }, timeout: 5 },
  ]);
});

it.each([
  ["what is no list of sends", [{ messages }]],
  ["what is no list", messages[0]],
  ["an empty list", []],
  [
    "equal values that are not the same",
    [new Send("tools", { messages: [new HumanMessage("Go."), new AIMessage("Going.")] })],
  ],
  ["values that are no objects, and empty lists", [new Send("tools", { count: 1, empty: [] })]],
  [
    "inputs that are no plain objects",
    [new Send("tools", messages), new Send("tools", "text"), new Send("tools", null)],
  ],
])("leaves %s as it is", (_what, value) => {
  expect(shareSends(value, channels)).toBeUndefined();
});
