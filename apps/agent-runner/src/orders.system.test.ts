import { ExecutionPhase, ToolCallStatus, type AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import { afterAll, describe, expect, it } from "vitest";
import { ordersSuite } from "./__fixtures__/orders-suite.ts";
import { startTemporal, type TemporalServer } from "./__fixtures__/temporal.ts";
import { until } from "./__fixtures__/until.ts";

// The same with Temporal between server and runner, and what dies here is any of the three.

let temporal: TemporalServer | undefined;
// Runs after the platform's own end: hooks run in reverse.
afterAll(() => temporal?.[Symbol.asyncDispose]());

ordersSuite(
  async () => {
    temporal = await startTemporal();
    return {
      killServer: true,
      engine: {
        type: "temporal",
        address: temporal.address,
        namespace: "default",
        heartbeatTimeoutMs: 3_000,
        retryDelayMs: 100,
      },
    };
  },
  (world) => {
    const completedTwice = (status: AgentExecutionStatus): void => {
      expect([status.phase, status.error]).toEqual([ExecutionPhase.EXECUTION_COMPLETED, ""]);
      expect(status.toolCalls.map(({ status }) => status)).toEqual([
        ToolCallStatus.TOOL_CALL_COMPLETED,
        ToolCallStatus.TOOL_CALL_COMPLETED,
      ]);
    };

    describe("a run on Temporal", () => {
      it("outlives its server, killed in the middle of a tool", { timeout: 240_000 }, async () => {
        await world.startRunner();
        const execution = await world.submitAndWait("two effects");
        await world.platform.restartServer(() => world.letGo());
        completedTwice(await world.platform.follow(execution));
        expect(await world.effects()).toEqual(["one", "two"]);
      });

      it("outlives Temporal itself, killed in the middle of a tool", { timeout: 240_000 }, async () => {
        const runner = await world.startRunner();
        const execution = await world.submitAndWait("two effects");
        await temporal?.kill();
        await world.letGo();
        await until(async () => (await world.effects()).includes("two"), 60_000);
        await runner.printed("Temporal can't be reached");
        await temporal?.start();
        completedTwice(await world.platform.follow(execution));
        expect(await world.effects()).toEqual(["one", "two"]);
      });
    });
  },
);
