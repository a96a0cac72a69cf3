import { type Client, createClient, createRouterTransport } from "@connectrpc/connect";
import { type ClaimExecutionResponse, ReleaseHold, RunnerController } from "@stigmer/protos/runner/v1";
import { expect, it } from "vitest";
import { quiet } from "../embedded/__fixtures__/server.ts";
import { createLock } from "../embedded/lock.ts";
import { createMemoryQueueStore, type MemoryQueueStore } from "../embedded/memory-queue-store.ts";
import { AT_REST } from "../embedded/queue-store.ts";
import type { Run } from "./run.ts";
import { createRunnerService } from "./runner-service.ts";

// What a runner is told that claims a run whose status says that it rests by itself, where its queue and its workflow do not
// know that: its runner died before it told them.

interface World {
  readonly queue: MemoryQueueStore;
  readonly client: Client<typeof RunnerController>;
  /** What the run's follower was told, here or at another server. */
  readonly told: string[];
  claim(claimId: string): Promise<ClaimExecutionResponse>;
}

async function world({ isFollowed = true } = {}): Promise<World> {
  const queue = createMemoryQueueStore();
  const place = { queue: "q", sessionId: "", org: "", payload: new Uint8Array(), createdAt: 0 };
  await queue.enqueue({ id: "aex-1", kind: "execution", ...place });
  await queue.lease({ queue: "q", runnerId: "temporal", now: 0, leaseMs: 1, maxAttempts: 3 });
  const told: string[] = [];
  const orders = {
    rested: (reason: string) => void told.push(`rested: ${reason}`),
    wakeSoon: () => void told.push("wake"),
  };
  const runs = new Map(isFollowed ? [["aex-1", { orders } as unknown as Run]] : []);
  const service = createRunnerService({
    queue,
    dispatcher: { runs, handOver: createLock() },
    isKnown: async () => true,
    onOrder: (id) => void told.push(`order for ${id}`),
    closing: new AbortController().signal,
    logger: quiet,
  });
  const client = createClient(
    RunnerController,
    createRouterTransport((router) => router.service(RunnerController, service)),
  );
  return {
    queue,
    client,
    told,
    claim: (claimId) => client.claimExecution({ executionId: "aex-1", runnerId: "r", claimId }),
  };
}

it("tells whoever claims a run at rest to let it rest, and its follower that it does, once", async () => {
  for (const isFollowed of [true, false]) {
    const { queue, claim, told } = await world({ isFollowed });
    const { fence, orders } = await claim("c1");
    expect(orders?.pause).toBeUndefined();
    await queue.comeToRest({ taskId: "aex-1", fence });
    expect((await claim("c2")).orders?.pause?.reason).toBe(AT_REST);
    // Repeated because the answer was lost, and of the runner after that one, which died as well.
    expect((await claim("c2")).orders?.pause?.reason).toBe(AT_REST);
    expect((await claim("c3")).orders?.pause?.reason).toBe(AT_REST);
    expect(told).toEqual([isFollowed ? `rested: ${AT_REST}` : "order for aex-1"]);
    await queue.resume("aex-1");
    expect((await claim("c4")).orders?.pause).toBeUndefined();
  }
});

it("lets a run go on that was answered meanwhile, and its workflow know should it rest", async () => {
  const { queue, client, claim, told } = await world();
  const { fence } = await claim("c1");
  await queue.comeToRest({ taskId: "aex-1", fence });
  await queue.resume("aex-1");
  const lease = { taskId: "aex-1", fence };
  await client.releaseLease({ runnerId: "r", lease, hold: ReleaseHold.PAUSED_ITSELF, reason: "look", inboxSeen: 9 });
  expect(told).toEqual(["wake"]);
  expect((await claim("c2")).orders?.pause).toBeUndefined();
});
