import { afterAll, beforeAll, describe, it } from "vitest";
import { NEW_HISTORY_SCENARIO, SCENARIOS } from "../__fixtures__/scenarios.ts";
import { createWorkflowWorld, type WorkflowWorld } from "../__fixtures__/workflow-world.ts";

describe("the workflow of an execution, on a real server", () => {
  let world: WorkflowWorld;
  beforeAll(async () => {
    world = await createWorkflowWorld();
  });
  afterAll(() => world?.dispose());

  it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))("%s", async (_name, { run }) => {
    await run(world);
  });
});

it("goes on in a new history with all it knows, when the server suggests one", async () => {
  const world = await createWorkflowWorld({ dynamicConfig: { "limit.historyCount.suggestContinueAsNew": 10 } });
  try {
    await NEW_HISTORY_SCENARIO.run(world);
  } finally {
    await world.dispose();
  }
});
