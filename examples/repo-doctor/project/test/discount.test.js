import assert from "node:assert/strict";
import { test } from "node:test";
import { tierFor, volumeDiscount } from "../src/discount.js";

const tiers = [
  { from: 50, percent: 10 },
  { from: 10, percent: 5 },
];

test("gives no discount below the first tier", () => {
  assert.equal(tierFor(9, tiers), undefined);
  assert.equal(volumeDiscount({ quantity: 9, unitPrice: 1000 }, tiers), 0);
});

test("takes the highest tier that is reached, whatever the order", () => {
  assert.equal(tierFor(30, tiers).percent, 5);
  assert.equal(tierFor(500, tiers).percent, 10);
});

test("starts a tier at its own quantity", () => {
  assert.equal(volumeDiscount({ quantity: 10, unitPrice: 1000 }, tiers), 500);
  assert.equal(volumeDiscount({ quantity: 50, unitPrice: 1000 }, tiers), 5000);
});

test("rounds a discount to the cent", () => {
  assert.equal(volumeDiscount({ quantity: 11, unitPrice: 333 }, tiers), 183);
});
