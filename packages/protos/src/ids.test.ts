import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createId, isId, parseId } from "./ids.ts";
import { type KindName, kinds } from "./kinds.ts";

const names = Object.keys(kinds) as KindName[];

describe("createId", () => {
  test.each(names)("makes ids of kind %s that parse back", (kind) => {
    const before = Date.now();
    const id = createId(kind);
    const parsed = parseId(id);
    expect(id).toMatch(new RegExp(`^${kinds[kind].idPrefix}-[0-9a-z]{26}$`));
    expect(parsed).toMatchObject({ kind, ulid: id.slice(-26) });
    expect(parsed?.createdAt.getTime()).toBeGreaterThanOrEqual(before);
    expect(parsed?.createdAt.getTime()).toBeLessThanOrEqual(Date.now());
  });

  test("never makes the same id twice", () => {
    const ids = Array.from({ length: 10_000 }, () => createId("AgentExecution"));
    expect(new Set(ids).size).toBe(ids.length);
  });
});

test("an id's random digits are each as likely as the others", () => {
  const digits = Array.from({ length: 20_000 }, () => createId("AgentExecution").slice(-16)).join("");
  const counts = new Map<string, number>();
  for (const digit of digits) counts.set(digit, (counts.get(digit) ?? 0) + 1);
  expect(counts.size).toBe(32);
  // 10,000 of each, give or take 100: what is seven times as far off is no chance.
  for (const count of counts.values()) expect(Math.abs(count - digits.length / 32)).toBeLessThan(700);
});

describe("parseId", () => {
  test("reads the kind and the time", () => {
    expect(parseId("aex-01arz3ndektsv4rrffq69g5fav")).toEqual({
      kind: "AgentExecution",
      ulid: "01arz3ndektsv4rrffq69g5fav",
      createdAt: new Date("2016-07-30T23:54:10.259Z"),
    });
  });

  test.each([
    ["nothing", ""],
    ["a prefix alone", "aex-"],
    ["no prefix", "01arz3ndektsv4rrffq69g5fav"],
    ["a prefix of no kind", "xyz-01arz3ndektsv4rrffq69g5fav"],
    ["upper case", "aex-01ARZ3NDEKTSV4RRFFQ69G5FAV"],
    ["a letter that the alphabet lacks", "aex-01arz3ndektsv4rrffq69g5fau"],
    ["a number beyond 128 bits", "aex-81arz3ndektsv4rrffq69g5fav"],
    ["a digit too few", "aex-01arz3ndektsv4rrffq69g5fa"],
    ["a digit too many", "aex-01arz3ndektsv4rrffq69g5fav0"],
    ["a line break at the end", "aex-01arz3ndektsv4rrffq69g5fav\n"],
    ["the name of a property that every object has", "constructor-01arz3ndektsv4rrffq69g5fav"],
  ])("refuses %s", (_, text) => {
    expect(parseId(text)).toBeUndefined();
    expect(isId(text)).toBe(false);
  });

  test("refuses any text that is not an id, without throwing", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => parseId(text) === undefined));
  });
});

test("isId tells kinds apart", () => {
  const id = createId("Session");
  expect(isId(id)).toBe(true);
  expect(isId(id, "Session")).toBe(true);
  expect(isId(id, "Agent")).toBe(false);
});
