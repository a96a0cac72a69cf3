import assert from "node:assert/strict";
import { test } from "node:test";
import { taxByRate } from "../src/tax.js";

test("taxes the sum of each rate, highest rate first", () => {
  const lines = [
    { taxRate: 7, net: 105 },
    { taxRate: 19, net: 1000 },
    { taxRate: 7, net: 105 },
  ];
  assert.deepEqual(taxByRate(lines), [
    { rate: 19, base: 1000, tax: 190 },
    { rate: 7, base: 210, tax: 15 },
  ]);
});

test("taxes a credit as it taxed the charge", () => {
  assert.equal(taxByRate([{ taxRate: 19, net: -50 }])[0].tax, -10);
});
