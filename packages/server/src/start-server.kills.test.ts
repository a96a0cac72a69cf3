import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { faultsIn, killUnderLoad } from "./__fixtures__/kill-under-load.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-kills-"));
});
afterEach(() => rm(home, { recursive: true }));

it("keeps what it acknowledged over 8 kills at random moments under load", { timeout: 240_000 }, async () => {
  const all = await killUnderLoad(home, 8, (left) => {
    expect(faultsIn(left.dataDir, left.acknowledged)).toEqual([]);
  });
  const { executions, revisions, messages, artifacts } = all;
  // What would be missing is found.
  const dataDir = join(home, "data");
  const none = "0".repeat(64);
  const more = {
    ...all,
    executions: new Set(["aex-none"]),
    artifacts: new Set([none]),
    revisions: new Map([["x", 1]]),
  };
  expect(faultsIn(dataDir, more)).toEqual(["execution aex-none", "status of x: 1, stored 0", `artifact ${none}`]);
  // There was a load.
  for (const acknowledged of [executions, messages, artifacts]) expect(acknowledged.size).toBeGreaterThan(0);
  expect(revisions.size).toBeGreaterThan(1);
});
