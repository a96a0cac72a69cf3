import { create } from "@bufbuild/protobuf";
import { type InboxItem, InboxItemSchema } from "@stigmer/protos/runner/v1";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_INBOX_BYTES, MAX_INBOX_ITEMS, MAX_ITEM_BYTES, MAX_REASON_LENGTH } from "../workflow-contract.ts";
import { createOrders, type Orders } from "./orders.ts";

const message = (id: string, text = "Hello"): InboxItem =>
  create(InboxItemSchema, { id, item: { case: "message", value: { text } } });
const approval = (id: string, toolCallId: string, decision = 1): InboxItem =>
  create(InboxItemSchema, { id, item: { case: "approval", value: { toolCallId, decision } } });
const send = (orders: Orders, item: InboxItem): string | undefined => {
  const problem = orders.problemWith(item, "message");
  if (problem === undefined) orders.take(item);
  return problem;
};
const idsOf = (orders: Orders): string[] => orders.inbox.map(({ id }) => id);
const asked = { reason: "at rest", itself: false };
const itself = { reason: "Look at this.", itself: true };

describe("cancel", () => {
  it("keeps the first reason, whatever comes after", () => {
    const orders = createOrders();
    expect(orders.cancelReason).toBeUndefined();
    orders.cancel("too slow");
    orders.cancel("changed my mind");
    orders.resume();
    expect(orders.cancelReason).toBe("too slow");
  });

  it.each([[""], [undefined], [7], [{ reason: "x" }]])("has a reason also when %j is given", (reason) => {
    const orders = createOrders();
    orders.cancel(reason);
    orders.cancel("a second one");
    expect(orders.cancelReason).toBe("The execution was cancelled.");
  });

  it("cuts what is too long", () => {
    const orders = createOrders();
    orders.cancel("x".repeat(MAX_REASON_LENGTH + 1));
    expect(orders.cancelReason).toHaveLength(MAX_REASON_LENGTH);
  });
});

describe("pause", () => {
  it("keeps the first reason until it is resumed", () => {
    const orders = createOrders();
    orders.askPause("lunch");
    orders.askPause("a meeting");
    expect(orders.pause).toEqual({ reason: "lunch", itself: false });
    orders.resume();
    expect(orders.pause).toBeUndefined();
    orders.askPause("a meeting");
    expect(orders.pause?.reason).toBe("a meeting");
  });

  it.each<[string, (orders: Orders) => void, typeof asked, object | undefined]>([
    [
      "rests when asked, under the reason that was given",
      (orders) => orders.askPause("lunch"),
      asked,
      { reason: "lunch", itself: false },
    ],
    ["rests when the runner knew of the pause first", () => {}, asked, asked],
    ["rests when it paused itself", () => {}, itself, itself],
    [
      "rests for a person also when it was asked before",
      (orders) => orders.askPause("lunch"),
      itself,
      { reason: "lunch", itself: true },
    ],
    [
      "goes on when it was resumed before it came to rest",
      (orders) => {
        orders.askPause("lunch");
        orders.resume();
      },
      asked,
      undefined,
    ],
    [
      "goes on when the resume overtook the news of a pause that was asked for",
      (orders) => orders.resume(),
      asked,
      undefined,
    ],
    ["goes on when the resume overtook the news of its own pause", (orders) => orders.resume(), itself, undefined],
    [
      "rests for a person when the resume was for an earlier pause",
      (orders) => {
        orders.askPause("lunch");
        orders.resume();
      },
      itself,
      itself,
    ],
    [
      "rests when it was asked again",
      (orders) => {
        orders.askPause("lunch");
        orders.resume();
        orders.askPause("a meeting");
      },
      asked,
      { reason: "a meeting", itself: false },
    ],
  ])("%s", (_what, during, rest, expected) => {
    const orders = createOrders();
    // What came before an attempt has no say in it.
    orders.resume();
    orders.attemptStarts();
    during(orders);
    orders.attemptRests(rest);
    expect(orders.pause).toEqual(expected);
  });
});

describe("the inbox", () => {
  it.each([
    ["no id", message(""), "message", /needs an id/],
    ["an endless id", message("x".repeat(129)), "message", /needs an id/],
    ["no text", message("m-1", ""), "message", /text is empty/],
    ["nothing", create(InboxItemSchema, { id: "m-1" }), "message", /"message", not nothing/],
    ["something else", approval("a-1", "call-1"), "message", /"message", not "approval"/],
    ["no call", approval("a-1", ""), "approval", /toolCallId is empty/],
    ["no decision", approval("a-1", "call-1", 0), "approval", /decision/],
    ["an unknown decision", approval("a-1", "call-1", 99), "approval", /decision/],
    ["too much", message("m-1", "x".repeat(MAX_ITEM_BYTES)), "message", /at most 262144 are taken/],
    ["what becomes too much on its way", message("m-1", "\u0001".repeat(60_000)), "message", /It has 3600\d\d bytes/],
  ] as const)("refuses an item with %s", (_what, item, wanted, expected) => {
    expect(createOrders().problemWith(item, wanted)).toMatch(expected);
  });

  it("takes an id once, and that without a word the second time", () => {
    const orders = createOrders();
    expect([send(orders, message("m-1", "first")), send(orders, message("m-1", "second"))]).toEqual([
      undefined,
      undefined,
    ]);
    expect(orders.inbox.map(({ item }) => item.value)).toMatchObject([{ text: "first" }]);
  });

  it("has room for so many, and stays within what Temporal carries", () => {
    const many = createOrders();
    for (let index = 0; index < MAX_INBOX_ITEMS; index += 1)
      expect(send(many, message(`m-${String(index)}`))).toBeUndefined();
    expect(send(many, message("one-more"))).toMatch(/no room for more/);
    expect(send(many, message("m-0"))).toBeUndefined();

    const large = createOrders();
    const text = "x".repeat(MAX_ITEM_BYTES - 100);
    let taken = 0;
    while (send(large, message(`m-${String(taken)}`, text)) === undefined) taken += 1;
    expect(taken).toBe(Math.floor(MAX_INBOX_BYTES / MAX_ITEM_BYTES));
    expect(send(large, message("small"))).toBeUndefined();
    expect(send(createOrders(large.carry()), message("one-more", text))).toMatch(/no room for more/);
  });

  it("survives a new history, with all else, after any orders", () => {
    const order = fc.oneof(
      fc.record({ kind: fc.constantFrom("cancel", "pause"), reason: fc.string() }),
      fc.record({
        kind: fc.constant("send"),
        id: fc.string({ minLength: 1, maxLength: 3 }),
        text: fc.string({ unit: "binary" }),
      }),
      fc.constant({ kind: "resume" } as const),
      fc.record({ kind: fc.constant("rest"), itself: fc.boolean() }),
    );
    type Order = typeof order extends fc.Arbitrary<infer T> ? T : never;
    const give = (orders: Orders, one: Order): void => {
      if ("text" in one) send(orders, message(one.id, one.text));
      else if ("reason" in one) orders[one.kind === "cancel" ? "cancel" : "askPause"](one.reason);
      else if ("itself" in one) orders.attemptRests({ reason: "at rest", itself: one.itself });
      else orders.resume();
    };
    fc.assert(
      fc.property(fc.array(order, { maxLength: 12 }), fc.array(order, { maxLength: 12 }), (before, after) => {
        const orders = createOrders();
        for (const one of before) give(orders, one);
        // As Temporal carries it.
        const carried = createOrders(JSON.parse(JSON.stringify(orders.carry())));
        const [here, there] = [orders, carried];
        for (const each of [here, there]) {
          each.attemptStarts();
          for (const one of after) give(each, one);
        }
        expect(there.carry()).toEqual(here.carry());
        expect(new Set(idsOf(there)).size).toBe(there.inbox.length);
      }),
    );
  });
});
