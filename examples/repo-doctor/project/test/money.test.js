import assert from "node:assert/strict";
import { test } from "node:test";
import { allocate, formatAmount, parseAmount, roundCents } from "../src/money.js";

test("parses amounts with and without thousands", () => {
  assert.equal(parseAmount("1,234.50"), 123450);
  assert.equal(parseAmount("-7"), -700);
  assert.equal(parseAmount(" 0.05 "), 5);
});

test("refuses what is not an amount", () => {
  for (const text of ["", "1.5", "12,34.00", "1e3", "€5"]) assert.throws(() => parseAmount(text), RangeError);
});

test("formats amounts by currency", () => {
  assert.equal(formatAmount(123450, "EUR"), "€1,234.50");
  assert.equal(formatAmount(-5, "USD"), "-$0.05");
  assert.equal(formatAmount(100000000, "CHF"), "CHF 1,000,000.00");
});

test("rounds half away from zero", () => {
  assert.equal(roundCents(2.5), 3);
  assert.equal(roundCents(-2.5), -3);
});

test("splits an amount without losing a cent", () => {
  assert.deepEqual(allocate(1000, [1, 1, 1]), [334, 333, 333]);
  assert.deepEqual(allocate(-1000, [1, 1, 1]), [-334, -333, -333]);
  assert.deepEqual(allocate(5, [0, 1]), [0, 5]);
});
