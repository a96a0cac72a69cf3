import assert from "node:assert/strict";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";

const input = join(import.meta.dirname, "workspace");
const logs = ["web.log", "worker.log"];

/** The question that `scenario.yaml` answers; a real model answers it too. */
export const message = "Which orders did this morning's incident hit, and what did it begin with?";

/** What the agent asks a person to allow, in order: the tool, and what must not be there before. */
export const approvals: readonly { tool: string; absent: string }[] = [{ tool: "write_file", absent: "INCIDENT.md" }];

/** Copies the logs into an empty workspace. */
export function prepare(workspaceDir: string): void {
  cpSync(input, workspaceDir, { recursive: true });
}

/**
 * Reads the logs by itself and holds report and answer against them.
 * @throws {assert.AssertionError}
 */
export function check(workspaceDir: string, output: string): void {
  const report = readFileSync(join(workspaceDir, "INCIDENT.md"), "utf8");
  assert.match(report, /^# Incident\n/);
  const hit = logs.map((log) => {
    const text = readFileSync(join(input, log), "utf8");
    assert.equal(readFileSync(join(workspaceDir, log), "utf8"), text, `${log} is as it was`);
    const errors = text.split("\n").filter((line) => line.includes(" ERROR "));
    const row = `| ${log} | ${errors.length} | ${errors[0]?.split(" ", 1)[0]} |`;
    assert.ok(report.includes(row), `the report has the row ${row}`);
    const orders = new Set(errors.map((line) => /order=(\d+)/.exec(line)?.[1] ?? ""));
    const listed = readFileSync(join(workspaceDir, log.replace(/\.log$/, ".orders")), "utf8");
    assert.deepEqual(listed.trim().split("\n"), [...orders].sort(), `the reader of ${log} listed its orders`);
    return orders;
  });
  const both = [...(hit[0] ?? [])].filter((order) => hit[1]?.has(order)).sort();
  assert.match(report, new RegExp(`^Orders hit: ${both.join(", ")}$`, "m"));
  for (const order of both) assert.ok(output.includes(order), `the answer names order ${order}`);
  assert.match(output, /worker/i, "the answer says which service failed first");
}
