import assert from "node:assert/strict";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";

const input = join(import.meta.dirname, "workspace");

/** The question that `scenario.yaml` answers; a real model answers it too. */
export const message = "Take the delivery of delivery.csv into stock.";

/** The variables that the run is given. */
export const env: Readonly<Record<string, string>> = {
  WAREHOUSE_PROGRAM: join(import.meta.dirname, "warehouse.ts"),
};

/** Copies stock and delivery note into an empty workspace. */
export function prepare(workspaceDir: string): void {
  cpSync(input, workspaceDir, { recursive: true });
}

/**
 * Works out from the files as they were what the stock must be now, and what the report must say.
 * @throws {assert.AssertionError}
 */
export function check(workspaceDir: string, output: string): void {
  const note = readFileSync(join(input, "delivery.csv"), "utf8");
  assert.equal(readFileSync(join(workspaceDir, "delivery.csv"), "utf8"), note, "the delivery note is as it was");
  const expected = readStock(input);
  const rows: string[] = [];
  for (const line of note.trim().split("\n").slice(1)) {
    const [delivery = "", sku = "", quantity = ""] = line.split(",");
    const item = expected.items[sku];
    const ordered = item?.onOrder ?? "unknown";
    if (ordered !== Number(quantity)) rows.push(`| ${sku} | ${ordered} | ${quantity} |`);
    if (item === undefined) continue;
    const booked = Math.min(Number(quantity), item.onOrder);
    item.onHand += booked;
    item.onOrder -= booked;
    expected.deliveries[delivery] = { ...expected.deliveries[delivery], [sku]: booked };
  }
  assert.deepEqual(readStock(workspaceDir), expected, "the stock holds what came, no more than was ordered");

  const report = readFileSync(join(workspaceDir, "DIFFERENCES.md"), "utf8");
  assert.match(report, /^# Delivery D-7041\n/);
  const items = report.split("\n").filter((line) => /^\| [A-Z]-\d/.test(line));
  assert.deepEqual(items.sort(), rows.sort(), "the report has all differences and nothing else");
  for (const row of rows) {
    const sku = row.split(" ")[1] ?? "";
    assert.ok(output.includes(sku), `the answer names ${sku}`);
  }
}

interface Stock {
  readonly items: Record<string, { onHand: number; onOrder: number }>;
  readonly deliveries: Record<string, Record<string, number>>;
}

function readStock(folder: string): Stock {
  return JSON.parse(readFileSync(join(folder, "stock.json"), "utf8")) as Stock;
}
