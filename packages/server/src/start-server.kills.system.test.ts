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

it("keeps what it acknowledged over 100 kills at random moments under load", { timeout: 1_200_000 }, async () => {
  const { executions, revisions, messages, artifacts } = await killUnderLoad(home, 100, ({ dataDir, acknowledged }) => {
    expect(faultsIn(dataDir, acknowledged)).toEqual([]);
  });
  // There was a load.
  for (const acknowledged of [executions, messages, artifacts]) expect(acknowledged.size).toBeGreaterThan(20);
  expect(revisions.size).toBeGreaterThan(50);
});
