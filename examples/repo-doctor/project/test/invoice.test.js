import assert from "node:assert/strict";
import { test } from "node:test";
import { buildInvoice, creditNote, parseLine, renderInvoice } from "../src/invoice.js";

const order = ["Desk lamp; 12; 39.90; 19", "Notebook; 3; 4.50; 7", "Pencil; 60; 0.85; 7"];
const lines = order.map((text, index) => parseLine(text, index + 1));
const tiers = [
  { from: 10, percent: 5 },
  { from: 50, percent: 10 },
];
const invoice = buildInvoice({ number: "2025-017", currency: "EUR", lines, tiers });

test("adds up lines, discounts and tax", () => {
  assert.deepEqual(
    invoice.lines.map(({ gross, discount, net }) => [gross, discount, net]),
    [
      [47880, 2394, 45486],
      [1350, 0, 1350],
      [5100, 510, 4590],
    ],
  );
  assert.equal(invoice.tax, 8642 + 416);
  assert.equal(invoice.total, 51426 + 9058);
});

test("takes an invoice back to the cent", () => {
  const credit = creditNote(invoice);
  assert.equal(invoice.total + credit.total, 0);
  assert.equal(invoice.tax + credit.tax, 0);
  assert.equal(credit.lines[1].discount, 0);
});

test("renders what the customer sees", () => {
  assert.equal(
    renderInvoice(invoice),
    [
      "Invoice 2025-017",
      "12 x Desk lamp: €454.86",
      "3 x Notebook: €13.50",
      "60 x Pencil: €45.90",
      "Tax 19% on €454.86: €86.42",
      "Tax 7% on €59.40: €4.16",
      "Total: €604.84",
    ].join("\n"),
  );
});

test("says which line of an order is wrong", () => {
  assert.throws(() => parseLine("Desk lamp; 0; 39.90; 19", 4), /line 4: quantity "0"/);
  assert.throws(() => parseLine("Desk lamp; 1", 5), /line 5: expected 4 fields, got 2/);
});

test("refuses an invoice without lines", () => {
  assert.throws(() => buildInvoice({ number: "1", currency: "EUR", lines: [] }), /invoice 1 has no lines/);
});
