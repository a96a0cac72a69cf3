import { AIMessage, type BaseMessage, HumanMessage } from "@langchain/core/messages";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { SteeringMessage } from "../agent.ts";
import { createInbox } from "./inbox.ts";

const say = (id: number): SteeringMessage => ({ id: `m${id}`, text: `text ${id}` });

it("hands out each message once, in order, however often it is given and whatever a crash takes back", () => {
  const step = fc.oneof(
    fc.constant("speak" as const),
    fc.constant("repeat" as const),
    fc.constant("hear" as const),
    // The process dies: with what it took in the thread, or before that was written.
    fc.record({ crashKeeps: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const given: SteeringMessage[] = [];
      let thread: BaseMessage[] = [new HumanMessage({ id: "r", content: "Go." })];
      let inbox = createInbox("r", thread, () => given);
      let last: BaseMessage[] = [];
      const hear = (): void => {
        expect(inbox.hasNews()).toBe(new Set(given.map(({ id }) => id)).size + 1 > thread.length);
        last = inbox.take().map(({ id, text }) => new HumanMessage({ id, content: text }));
        thread = [...thread, ...last];
        expect(inbox.hasNews()).toBe(false);
      };
      for (const what of steps) {
        if (what === "speak") given.push(say(given.length));
        else if (what === "repeat") given.push(...given.slice(0, 2));
        else if (what === "hear") hear();
        else {
          if (!what.crashKeeps) thread = thread.slice(0, thread.length - last.length);
          last = [];
          inbox = createInbox("r", thread, () => given);
        }
      }
      hear();
      const ids = [...new Set(given.map(({ id }) => `r/${id}`))];
      expect(thread.map(({ id }) => id)).toEqual(["r", ...ids]);
    }),
  );
});

it("knows its own run's messages from others", () => {
  const thread = [
    new HumanMessage({ id: "r2/a", content: "another run's" }),
    new AIMessage({ id: "r/a", content: "no human" }),
    new HumanMessage({ id: "r/b", content: "heard" }),
  ];
  const inbox = createInbox("r", thread, () => ["a", "b"].map((id) => ({ id, text: id })));
  expect(inbox.take()).toEqual([{ id: "r/a", text: "a" }]);
});
