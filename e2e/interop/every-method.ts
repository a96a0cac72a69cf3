import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTemporal, type TemporalDevServer } from "../temporal.ts";
import type { Caller } from "./caller.ts";
import type { Cases } from "./cases/case.ts";
import { executionCases } from "./cases/executions.ts";
import { ownerCases } from "./cases/owners.ts";
import { resourceCases } from "./cases/resources.ts";
import { claimCases, runnerCases } from "./cases/runner.ts";
import { skillCases } from "./cases/skills.ts";
import { contract } from "./contract.ts";
import { openWorld, type World } from "./world.ts";

const cases: Cases = { ...resourceCases, ...skillCases, ...executionCases, ...runnerCases, ...ownerCases };

/** Calls each method of the contract as one client does. A method of the contract that has no case is a failure. */
export function describeEveryMethod(open: (world: World) => Caller): void {
  const withClient = async (world: World, method: string): Promise<void> => {
    const client = open(world);
    try {
      await { ...cases, ...claimCases }[method]?.(client, world);
    } finally {
      client.close();
    }
  };

  it("there is a case for each method of the contract", () => {
    expect(Object.keys({ ...cases, ...claimCases }).sort()).toEqual([...contract.keys()].sort());
    expect(contract.size).toBeGreaterThan(70);
  });

  describe("each method", () => {
    it.each(Object.keys(cases))("%s", async (method) => {
      await using world = await openWorld();
      await withClient(world, method);
    });
  });

  describe("each method of a server on Temporal alone", () => {
    let temporal: TemporalDevServer;
    beforeAll(async () => {
      temporal = await startTemporal();
    });
    afterAll(() => temporal.dispose());

    it.each(Object.keys(claimCases))("%s", async (method) => {
      const { address, namespace } = temporal;
      await using world = await openWorld({ engine: { type: "temporal", address, namespace } });
      await withClient(world, method);
    });
  });
}
