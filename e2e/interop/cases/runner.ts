import { expect } from "vitest";
import { type Answer, type Caller, CallFailure, idOf } from "../caller.ts";
import { EXECUTION_QUERIES, PKG, RUNNER, type World } from "../world.ts";
import type { Cases } from "./case.ts";

const taking = (runnerId: string, more: object = {}): object => ({
  runnerId,
  taskQueue: "agent_execution_runner",
  maxConcurrency: 1,
  ...more,
});

/** Events up to the first that has this field. */
async function until(stream: AsyncGenerator<Answer, void, void>, field: string): Promise<Answer> {
  for (;;) {
    const { value } = await stream.next();
    if (!value) throw new Error(`The stream ended without ${field}.`);
    if (value[field]) return value;
  }
}

async function phaseOf({ own }: World, id: string): Promise<unknown> {
  const { status } = (await own.call(`${EXECUTION_QUERIES}/get`, { value: id })) as { status: { phase: string } };
  return status.phase;
}

const beginning = (executionId: string, fence: number, requestId: string): object => ({
  executionId,
  fence,
  callKey: "m1/c1",
  toolName: "execute",
  toolClass: "TOOL_CALL_CLASS_ONCE",
  requestId,
});

export const runnerCases: Cases = {
  [`${RUNNER}/hello`]: async (client) => {
    const answer = await client.call(`${RUNNER}/hello`, { runnerId: "r1", version: "1.2.3", protocol: 1 });
    expect(answer).toMatchObject({ protocol: 1, oldestProtocol: 1, engine: "embedded" });
    expect(Date.parse(String(answer["time"]))).toBeGreaterThan(0);
    await expect(client.call(`${RUNNER}/hello`, { runnerId: "r1", protocol: 99 })).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      message: expect.stringContaining("speaks protocol 99") as string,
    });
  },
  [`${RUNNER}/takeLeases`]: async (client, world) => {
    const leases = client.stream(`${RUNNER}/takeLeases`, taking("r1"));
    expect(await until(leases, "attached")).toMatchObject({ attached: { leaseMs: expect.any(Number) as number } });
    const run = await world.run();
    const lease = await until(leases, "lease");
    expect(lease).toMatchObject({
      lease: {
        taskId: idOf(run),
        attempt: 1,
        agentExecution: {
          execution: { metadata: { id: idOf(run) }, spec: { message: "Hello" } },
          parts: { session: { metadata: { id: expect.stringMatching(/^ses-/) as string } }, agent: { spec: {} } },
        },
      },
    });
    await world.own.call(`${PKG}.agentexecution.v1.AgentExecutionCommandController/cancel`, {
      executionId: idOf(run),
      reason: "enough",
    });
    expect(await until(leases, "signal")).toMatchObject({
      signal: { taskId: idOf(run), cancel: { reason: "enough" } },
    });
    await leases.return();
  },
  [`${RUNNER}/heartbeat`]: async (client, world) => {
    const { lease } = await world.leased();
    const foreign = { taskId: lease.taskId, fence: lease.fence + 7 };
    const answer = await client.call(`${RUNNER}/heartbeat`, { runnerId: "own-runner", held: [lease, foreign] });
    expect(answer).toEqual({ lost: [foreign] });
  },
  [`${RUNNER}/completeLease`]: async (client, world) => {
    const { id, lease } = await world.leased();
    const completed = { phase: "EXECUTION_COMPLETED", messages: [{ type: "MESSAGE_AI", content: "Done" }] };
    const request = { runnerId: "own-runner", lease, status: completed };
    expect(await client.call(`${RUNNER}/completeLease`, request)).toEqual({});
    expect(await phaseOf(world, id)).toBe("EXECUTION_COMPLETED");
  },
  [`${RUNNER}/releaseLease`]: async (client, world) => {
    const { id, lease, fence } = await world.leased();
    const request = { runnerId: "own-runner", lease, reason: "I leave", hold: "RELEASE_HOLD_UNSPECIFIED" };
    expect(await client.call(`${RUNNER}/releaseLease`, request)).toEqual({});
    const leases = world.own.stream(`${RUNNER}/takeLeases`, taking("r2"));
    const { lease: next } = (await until(leases, "lease")) as { lease: { taskId: string; fence: number } };
    expect(next.taskId).toBe(id);
    expect(next.fence).toBeGreaterThan(fence);
    await leases.return();
  },
  [`${RUNNER}/ensureThread`]: async (client, world) => {
    const { run } = await world.leased();
    const { sessionId } = run["spec"] as { sessionId: string };
    const answer = await client.call(`${RUNNER}/ensureThread`, { sessionId });
    expect(answer).toEqual({ threadId: expect.stringMatching(/./) as string });
    expect(await client.call(`${RUNNER}/ensureThread`, { sessionId })).toEqual(answer);
    await expect(client.call(`${RUNNER}/ensureThread`, { sessionId: "ses-none" })).rejects.toMatchObject({
      code: "NOT_FOUND",
    });
  },
  [`${RUNNER}/resolveRun`]: async (client, world) => {
    const { id, run } = await world.leased();
    const { sessionId, agentId } = run["spec"] as { sessionId: string; agentId: string };
    expect(await client.call(`${RUNNER}/resolveRun`, { executionId: id })).toMatchObject({
      execution: { metadata: { id }, spec: { message: "Hello" } },
      session: { metadata: { id: sessionId } },
      instance: { spec: { agentId } },
      agent: { metadata: { id: agentId } },
    });
    await expect(client.call(`${RUNNER}/resolveRun`, { executionId: "aex-none" })).rejects.toMatchObject({
      code: "NOT_FOUND",
    });
  },
  [`${RUNNER}/beginToolCall`]: async (client, world) => {
    const { id, fence } = await world.leased();
    const begin = (requestId: string): Promise<Answer> =>
      client.call(`${RUNNER}/beginToolCall`, beginning(id, fence, requestId));
    expect(await begin("q1")).toEqual({ started: {} });
    // The same request again is a retry; another one finds a call of which nobody knows the outcome.
    expect(await begin("q1")).toEqual({ started: {} });
    expect(await begin("q2")).toMatchObject({ unknown: { begunAt: expect.stringMatching(/^\d{4}-/) as string } });
  },
  [`${RUNNER}/recordToolCalls`]: async (client, world) => {
    const { id, fence } = await world.leased();
    const entries = client.stream(`${RUNNER}/recordToolCalls`, { number: 3, begin: beginning(id, fence, "q1") });
    if (!client.duplex) {
      // Refused as a whole, and nothing is done: for such clients there are the two calls.
      expect(await Array.fromAsync(entries).catch(() => [])).toEqual([]);
      const begun = await client.call(`${RUNNER}/beginToolCall`, beginning(id, fence, "q2"));
      expect(begun).toEqual({ started: {} });
      return;
    }
    expect(await Array.fromAsync(entries)).toEqual([{ number: 3, begun: { started: {} } }]);
    const refused = client.stream(`${RUNNER}/recordToolCalls`, { number: 4, begin: beginning(id, fence + 7, "q2") });
    expect(await Array.fromAsync(refused)).toEqual([
      { number: 4, refused: { code: 9, message: expect.stringContaining("is not current") as string } },
    ]);
  },
  [`${RUNNER}/recordRun`]: async (client, world) => {
    const { id, fence } = await world.leased();
    const patchOf = (under: number): object => {
      const changes = [{ run: { phase: "EXECUTION_IN_PROGRESS" } }];
      return { executionId: id, fence: under, sequence: 1, delta: { changes } };
    };
    const entries = client.stream(`${RUNNER}/recordRun`, { number: 3, patch: patchOf(fence) });
    if (!client.duplex) {
      // As of the ledger alone: for such clients there are the three calls.
      expect(await Array.fromAsync(entries).catch(() => [])).toEqual([]);
      return;
    }
    expect(await Array.fromAsync(entries)).toEqual([
      { number: 3, patched: { revision: expect.any(Number) as number } },
    ]);
    expect(await phaseOf(world, id)).toBe("EXECUTION_IN_PROGRESS");
    const begun = client.stream(`${RUNNER}/recordRun`, { number: 4, begin: beginning(id, fence, "q1") });
    expect(await Array.fromAsync(begun)).toEqual([{ number: 4, begun: { started: {} } }]);
    const refused = client.stream(`${RUNNER}/recordRun`, { number: 5, patch: patchOf(fence + 7) });
    expect(await Array.fromAsync(refused)).toEqual([
      { number: 5, refused: { code: 9, message: expect.stringContaining("is not current") as string } },
    ]);
    const remember = { executionId: id, fence, sandboxId: "docker:one" };
    const remembers = client.stream(`${RUNNER}/recordRun`, { number: 7, remember });
    expect(await Array.fromAsync(remembers)).toEqual([{ number: 7, remembered: { sandboxId: "docker:one" } }]);
    const changes = [{ run: { phase: "EXECUTION_COMPLETED" } }];
    const last = { executionId: id, fence, sequence: 2, delta: { changes } };
    const ends = client.stream(`${RUNNER}/recordRun`, { number: 6, patch: last, endsLeaseOf: "own-runner" });
    expect(await Array.fromAsync(ends)).toEqual([{ number: 6, ended: { revision: expect.any(Number) as number } }]);
    expect(await phaseOf(world, id)).toBe("EXECUTION_COMPLETED");
  },
  [`${RUNNER}/finishToolCall`]: async (client, world) => {
    const { id, fence } = await world.leased();
    await world.own.call(`${RUNNER}/beginToolCall`, beginning(id, fence, "q1"));
    const result = Buffer.from("three files").toString("base64");
    const request = { executionId: id, fence, callKey: "m1/c1", result };
    expect(await client.call(`${RUNNER}/finishToolCall`, request)).toEqual({});
    expect(await world.own.call(`${RUNNER}/beginToolCall`, beginning(id, fence, "q2"))).toEqual({
      recorded: { result },
    });
  },
};

/** What only a server on Temporal has: there runners get their work from Temporal, and claim it here. */
export const claimCases: Cases = {
  [`${RUNNER}/claimExecution`]: async (client, world) => {
    const id = idOf(await world.run());
    const fence = await claimed(world.own, id);
    const answer = await client.call(`${RUNNER}/claimExecution`, { executionId: id, runnerId: "r2", claimId: "c2" });
    expect(Number(answer["fence"])).toBeGreaterThan(fence);
    await expect(
      client.call(`${RUNNER}/claimExecution`, { executionId: "aex-none", runnerId: "r2", claimId: "c3" }),
    ).rejects.toMatchObject({ code: "NOT_FOUND" });
  },
  [`${RUNNER}/checkExecution`]: async (client, world) => {
    const id = idOf(await world.run());
    const fence = await claimed(world.own, id);
    await world.own.call(`${PKG}.agentexecution.v1.AgentExecutionCommandController/sendMessage`, {
      executionId: id,
      messageId: "q1",
      text: "And one more",
    });
    expect(await client.call(`${RUNNER}/checkExecution`, { executionId: id, fence })).toMatchObject({
      orders: { inbox: [{ id: "q1", message: { text: "And one more" } }] },
    });
    await expect(client.call(`${RUNNER}/checkExecution`, { executionId: id, fence: fence + 7 })).rejects.toMatchObject({
      code: "ABORTED",
    });
  },
};

/** The fence, once the server has given the run to Temporal. */
async function claimed(own: Caller, executionId: string): Promise<number> {
  for (;;) {
    try {
      const answer = await own.call(`${RUNNER}/claimExecution`, { executionId, runnerId: "r1", claimId: "c1" });
      return Number(answer["fence"]);
    } catch (error) {
      if (!(error instanceof CallFailure) || error.code !== "FAILED_PRECONDITION") throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
