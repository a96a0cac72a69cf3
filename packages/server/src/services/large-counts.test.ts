import { expect, it, vi } from "vitest";
import { createLargeCounts, MAX_COUNTED } from "./large-counts.ts";

function counting(rows: { value: number }) {
  return vi.fn(async (limit: number) => Math.min(rows.value, limit));
}

it("tells small counts as they are at the moment", async () => {
  const counts = createLargeCounts(() => 0);
  const rows = { value: 999 };
  const read = counting(rows);
  expect(await counts.count({ org: "a" }, read)).toBe(999);
  rows.value = 3;
  expect(await counts.count({ org: "a" }, read)).toBe(3);
  expect(read.mock.calls).toEqual([[1_000], [1_000]]);
});

it("counts far once, and again when that is some seconds old", async () => {
  let now = 0;
  const counts = createLargeCounts(() => now);
  const rows = { value: 5_000 };
  const read = counting(rows);
  expect(await counts.count({ org: "a" }, read)).toBe(5_000);
  rows.value = 5_010;
  expect(await counts.count({ org: "a" }, read)).toBe(5_000);
  expect(read).toHaveBeenCalledTimes(3);
  now = 10_000;
  expect(await counts.count({ org: "a" }, read)).toBe(5_010);
  rows.value = 10;
  expect(await counts.count({ org: "a" }, read)).toBe(10);
});

it("keeps filters apart, and counts no further than it says", async () => {
  const counts = createLargeCounts(() => 0);
  expect(await counts.count({ org: "a" }, counting({ value: 2_000 }))).toBe(2_000);
  expect(await counts.count({ org: "b" }, counting({ value: 90_000 }))).toBe(MAX_COUNTED);
  for (let index = 0; index < 300; index += 1) await counts.count({ index }, counting({ value: 2_000 }));
  // The oldest are forgotten: this one is counted anew.
  expect(await counts.count({ org: "a" }, counting({ value: 3_000 }))).toBe(3_000);
});
