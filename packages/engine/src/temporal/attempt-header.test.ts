import { create, equals } from "@bufbuild/protobuf";
import { InboxItemSchema } from "@stigmer/protos/runner/v1";
import { defaultPayloadConverter } from "@temporalio/common";
import fc from "fast-check";
import { expect, it } from "vitest";
import { ACTIVITY_NAMES } from "../contract.ts";
import { attemptArgument, fromHeader, toHeader } from "./attempt-header.ts";
import { ATTEMPT_HEADER } from "./workflow-contract.ts";

const { ensureThread, executeGraphton, cleanupSandbox } = ACTIVITY_NAMES;

/** What an activity is called with, when it was scheduled with these arguments and headers. */
async function received(activityType: string, args: unknown[], headers = {}): Promise<unknown[]> {
  const { inbound } = attemptArgument({ info: { activityType } } as never);
  let got: unknown[] = [];
  await inbound?.execute?.({ args, headers }, async (input) => void (got = input.args));
  return got;
}

it("carries what is ours beside the arguments that every runner knows, and back", async () => {
  const item = fc
    .record({ id: fc.string({ minLength: 1 }), text: fc.string({ unit: "grapheme" }) })
    .map(({ id, text }) => create(InboxItemSchema, { id, item: { case: "message", value: { text } } }));
  const context = fc.record({ attempt: fc.nat(), inbox: fc.array(item) });
  await fc.assert(
    fc.asyncProperty(context, async ({ attempt, inbox }) => {
      const { args, headers } = toHeader(executeGraphton, ["execution", "thread-1", { attempt, inbox }]);
      expect(args).toEqual(["execution", "thread-1"]);
      const [execution, threadId, back] = (await received(executeGraphton, args, headers)) as [
        string,
        string,
        ReturnType<typeof fromHeader>,
      ];
      expect([execution, threadId, back.attempt, back.isForeign]).toEqual([
        "execution",
        "thread-1",
        attempt,
        undefined,
      ]);
      expect(back.inbox).toHaveLength(inbox.length);
      back.inbox.forEach((item, index) => expect(equals(InboxItemSchema, item, inbox[index]!)).toBe(true));
    }),
  );
});

it("gives an activity of a foreign workflow the same argument in the same place", async () => {
  const first = { attempt: 1, inbox: [], sessionId: "", workspaceDir: "", sandboxType: 0, isForeign: true };
  expect(await received(executeGraphton, ["execution", "thread-1"])).toEqual(["execution", "thread-1", first]);
  expect(await received(cleanupSandbox, ["box-1"])).toEqual(["box-1", first]);
  // Whatever a caller passes beyond the wire's arguments is not taken for ours.
  expect(await received(cleanupSandbox, ["box-1", { attempt: 9 }])).toEqual(["box-1", first]);
  expect(await received(ensureThread, ["ses-1"])).toEqual(["ses-1", undefined, first]);
});

it("lets other activities and calls be", async () => {
  expect(await received("SendMail", ["a", "b", "c"], { other: {} })).toEqual(["a", "b", "c"]);
  expect(toHeader("SendMail", ["a", "b", "c"])).toEqual({ args: ["a", "b", "c"], headers: {} });
  expect(toHeader(ensureThread, ["ses-1", "agt-1"])).toEqual({ args: ["ses-1", "agt-1"], headers: {} });
});

it("reads a header of a version to come", () => {
  const header = { attempt: 2, inbox: [{ id: "m-1", message: { text: "Hi", tone: "kind" } }], colour: "red" };
  const back = fromHeader({ [ATTEMPT_HEADER]: defaultPayloadConverter.toPayload(header) });
  expect([back.attempt, back.inbox.map(({ id }) => id)]).toEqual([2, ["m-1"]]);
});
