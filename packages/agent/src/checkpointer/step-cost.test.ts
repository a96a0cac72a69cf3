import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Scenario } from "@stigmer/scripted-model";
import { afterEach, expect, it } from "vitest";
import { collect, openWorkbench, type Workbench } from "../__fixtures__/workbench.ts";
import { createSqliteCheckpointer } from "./create-sqlite-checkpointer.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const CALLS = 24;

it("a turn costs two checkpoints and what the turn adds, however long the conversation is", async () => {
  const turn = (index: number): Scenario["turns"][number] => ({
    toolCalls: [{ name: "write_file", args: { file_path: `${index}.txt`, content: "x".repeat(2_000) } }],
  });
  bench = await openWorkbench([
    { name: "long", turns: [...Array.from({ length: CALLS }, (_, index) => turn(index)), { text: "Done." }] },
  ]);
  const path = join(bench.sandbox.root, "..", "step-cost.db");
  const checkpointer = await createSqliteCheckpointer({ path, keep: Infinity });
  const agent = await bench.agent({ checkpointer });
  await collect(await agent.open({ threadId: "t", runId: "aex-1", input: "Go." }));
  checkpointer.close();

  using database = new DatabaseSync(path);
  const steps = database
    .prepare("SELECT checkpoint, metadata, channels FROM checkpoints ORDER BY checkpoint_id")
    .all()
    .map(({ channels }) => Object.values(JSON.parse(String(channels)) as Record<string, number>));
  const sizes = new Map(
    database
      .prepare("SELECT id, length(value) AS bytes FROM channel_values")
      .all()
      .map(({ id, bytes }) => [Number(id), Number(bytes)]),
  );
  const added = steps.map((ids, at) =>
    ids.filter((id) => !steps[at - 1]?.includes(id)).reduce((sum, id) => sum + (sizes.get(id) ?? 0), 0),
  );
  const turns = added.slice(-2 * CALLS - 1, -1);
  const bytesOf = (from: number, to: number): number => turns.slice(2 * from, 2 * to).reduce((sum, n) => sum + n, 0);
  // One for each turn's answer, one for its tools; before them what prepares the run.
  expect(steps.length).toBeLessThanOrEqual(2 * CALLS + 6);
  expect(bytesOf(CALLS - 4, CALLS)).toBeLessThan(1.2 * bytesOf(2, 6));
});
