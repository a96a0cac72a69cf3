import { expect, it } from "vitest";
import { oncePer } from "./once-per.ts";

it("makes a thing once for each key, and keeps no more than it may", () => {
  const made: number[] = [];
  const thing = oncePer((key: number) => {
    made.push(key);
    return { key };
  }, 2);
  expect(thing(1)).toBe(thing(1));
  expect(thing(2)).not.toBe(thing(1));
  expect(thing(3)).toEqual({ key: 3 });
  expect(thing(1)).toEqual({ key: 1 });
  expect(made).toEqual([1, 2, 3, 1]);
});
