// Goes through every scenario on a real Temporal server and writes down the histories that came of it:
//   STIGMER_TEST_TEMPORAL=/path/to/temporal pnpm --filter @stigmer/engine record-histories [scenario …]
// Recorded anew only when the workflow has changed on purpose. A run that was started by an earlier version must still be
// replayed by the new one: then keep the earlier recording beside the new one, and let the change ask `patched()`.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { WorkflowHandleWithFirstExecutionRunId } from "@temporalio/client";
import { historyToJSON } from "@temporalio/common/lib/proto-utils.js";
import { NEW_HISTORY_SCENARIO, type Scenario, SCENARIOS } from "../src/temporal/__fixtures__/scenarios.ts";
import { createWorkflowWorld, type WorkflowWorld } from "../src/temporal/__fixtures__/workflow-world.ts";

const folder = join(import.meta.dirname, "../src/temporal/__fixtures__/histories");
const wanted = new Set(process.argv.slice(2));
const isWanted = ({ name }: Scenario): boolean => wanted.size === 0 || wanted.has(name);

await mkdir(folder, { recursive: true });
await record(SCENARIOS.filter(isWanted), () => createWorkflowWorld());
await record([NEW_HISTORY_SCENARIO].filter(isWanted), () =>
  createWorkflowWorld({ dynamicConfig: { "limit.historyCount.suggestContinueAsNew": 10 } }),
);

async function record(scenarios: readonly Scenario[], createWorld: () => Promise<WorkflowWorld>): Promise<void> {
  if (scenarios.length === 0) return;
  const world = await createWorld();
  try {
    for (const scenario of scenarios) {
      const handle = await scenario.run(world);
      await write(world, scenario, handle);
    }
  } finally {
    await world.dispose();
  }
}

/** Writes each history of the run: the one that it was started with, and those that it went on in. */
async function write(
  { client }: WorkflowWorld,
  { name }: Scenario,
  { workflowId, firstExecutionRunId }: WorkflowHandleWithFirstExecutionRunId,
): Promise<void> {
  let runId = firstExecutionRunId;
  for (let part = 1; runId !== ""; part += 1) {
    const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
    const file = join(folder, part === 1 ? `${name}.json` : `${name}-${String(part)}.json`);
    await writeFile(file, `${JSON.stringify(withoutPlaces(JSON.parse(historyToJSON(history))), undefined, 2)}\n`);
    console.log(`${file}: ${String(history.events?.length)} events`);
    runId = history.events?.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId ?? "";
  }
}

/** Stack traces say where this checkout lies. */
function withoutPlaces(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPlaces);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, key === "stackTrace" ? "" : withoutPlaces(inner)]),
  );
}
