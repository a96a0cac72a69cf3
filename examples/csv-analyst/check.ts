import assert from "node:assert/strict";
import { cpSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const input = join(import.meta.dirname, "workspace");

/** The question that `scenario.yaml` answers; a real model answers it too. */
export const message =
  "What is the revenue by region in sales.csv, which product brought in most, and which month was best?";

/** Copies the data into an empty workspace. */
export function prepare(workspaceDir: string): void {
  cpSync(input, workspaceDir, { recursive: true });
}

/**
 * Computes the figures anew, in another way than the agent's script, and looks for each in the answer.
 * @throws {assert.AssertionError}
 */
export function check(workspaceDir: string, output: string): void {
  const csv = readFileSync(join(input, "sales.csv"), "utf8");
  assert.equal(readFileSync(join(workspaceDir, "sales.csv"), "utf8"), csv, "the data is as it was");
  assert.ok(existsSync(join(workspaceDir, "analyse.mjs")), "the figures come from a script");

  const orders = csv.trimEnd().split("\n").slice(1).map(readOrder);
  const plain = output.replaceAll(",", "");
  const expect = (what: string, cents: number): void => {
    assert.ok(plain.includes(amount(cents)), `${what} is ${amount(cents)}, which the answer does not say`);
  };
  for (const [region, cents] of sums(orders, (order) => order.region)) expect(`revenue of ${region}`, cents);
  const [product, productCents] = best(sums(orders, (order) => order.product));
  expect(`revenue of ${product}`, productCents);
  assert.ok(output.includes(product), `the answer names the top product, ${product}`);
  const [month, monthCents] = best(sums(orders, (order) => order.month));
  expect(`revenue of ${month}`, monthCents);
  assert.ok(output.includes(month) || /december/i.test(output), `the answer names the best month, ${month}`);
  assert.ok(plain.includes(String(orders.length)), `the answer rests on ${orders.length} rows`);
}

interface Order {
  readonly month: string;
  readonly region: string;
  readonly product: string;
  readonly cents: number;
}

// One expression for the whole row, anchored at both ends: a row of another form fails instead of being misread.
const row = /^S-\d+,(\d{4}-\d{2})-\d{2},([^,]+),(?:"((?:[^"]|"")+)"|([^",]+)),(-?\d+),(\d+)\.(\d{2}),[a-z]+$/;

function readOrder(line: string): Order {
  const match = row.exec(line);
  assert.ok(match, `unexpected row: ${line}`);
  const [, month = "", region = "", quoted, bare = "", quantity, whole = "", cents = ""] = match;
  return {
    month,
    region,
    product: quoted?.replaceAll('""', '"') ?? bare,
    cents: Number(quantity) * Number(whole + cents),
  };
}

function sums(orders: readonly Order[], key: (order: Order) => string): [string, number][] {
  const groups = Object.entries(Object.groupBy(orders, key));
  return groups.map(([name, group = []]) => [name, group.reduce((total, order) => total + order.cents, 0)]);
}

function best(entries: readonly [string, number][]): [string, number] {
  return entries.reduce((top, entry) => (entry[1] > top[1] ? entry : top));
}

/** 123456 → "1234.56" */
function amount(cents: number): string {
  const digits = String(Math.abs(cents)).padStart(3, "0");
  return `${cents < 0 ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}
