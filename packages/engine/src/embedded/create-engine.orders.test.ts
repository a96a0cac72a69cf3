import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { AgentExecutionSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { type InboxItem, InboxItemSchema, ReleaseHold } from "@stigmer/protos/runner/v1";
import { afterEach, describe, expect, it } from "vitest";
import { until } from "../conformance/until.ts";
import { closeWorlds, type EngineWorld, holding, world } from "./__fixtures__/engine-world.ts";
import type { RawRunner } from "./__fixtures__/raw-runner.ts";
import { rest } from "./__fixtures__/rest.ts";

afterEach(closeWorlds);

const held = [{ taskId: "aex-1", fence: 1 }];

function message(id: string): InboxItem {
  return create(InboxItemSchema, { id, item: { case: "message", value: { text: "hello" } } });
}

/** The runner comes to rest with the task, and says so. */
function restWith(
  runner: RawRunner,
  hold: ReleaseHold,
  { fence = 1, reason = "", inboxSeen = 0 } = {},
): Promise<unknown> {
  return runner.client.releaseLease({ runnerId: "r1", lease: { taskId: "aex-1", fence }, hold, reason, inboxSeen });
}

const queueOf = async ({ server }: EngineWorld): Promise<object> => {
  const { waiting, paused, leased } = await server.engine.metrics();
  return { waiting, paused, leased };
};

describe("an inbox", () => {
  it("comes with the lease, and to the holder item by item", async () => {
    const given = world();
    const { engine } = given.server;
    await given.run("aex-1");
    expect(await engine.deliver("aex-1", message("m1"))).toBe("waiting");
    expect(await engine.deliver("aex-1", message("m2"))).toBe("waiting");
    const stream = given.runner("r1").attach();
    expect(await stream.next()).toBe("attached");
    expect(await stream.next()).toBe("lease aex-1/1 m1 m2");
    expect(await engine.deliver("aex-1", message("m3"))).toBe("running");
    expect(await stream.next()).toBe("inbox aex-1/1 m3");
  });

  it("comes whole to the next runner, and not at all to what is over", async () => {
    const given = world();
    const { engine } = given.server;
    const { runner, stream } = await holding(given);
    await engine.deliver("aex-1", message("m1"));
    expect(await stream.next()).toBe("inbox aex-1/1 m1");
    given.clock.advance(10_000);
    expect(await stream.next()).toBe("lost aex-1/1");
    await engine.deliver("aex-1", message("m2"));
    await runner.client.heartbeat({ runnerId: "r1" });
    expect(await stream.next()).toBe("lease aex-1/2 m1 m2");
    await runner.complete({ taskId: "aex-1", fence: 2 });
    expect(await engine.deliver("aex-1", message("m3"))).toBe("over");
    expect(await engine.deliver("aex-unknown", message("m3"))).toBe("over");
  });

  it("loses nothing between the queue and the stream, whatever comes while a task is handed over", async () => {
    const gate = Promise.withResolvers<void>();
    let loading = false;
    const given = world({
      loadExecution: async (id) => {
        loading = true;
        await gate.promise;
        return create(AgentExecutionSchema, { metadata: { id } });
      },
    });
    const { engine } = given.server;
    const stream = given.runner("r1").attach();
    expect(await stream.next()).toBe("attached");
    await given.run("aex-1");
    await until(() => loading, "the hand-over");
    const asked = [
      engine.deliver("aex-1", message("m1")),
      engine.pause("aex-1", "lunch"),
      engine.cancel("aex-1", "enough"),
    ];
    await rest();
    gate.resolve();
    await Promise.all(asked);
    expect(await stream.next()).toBe("lease aex-1/1");
    expect(await stream.next()).toBe("inbox aex-1/1 m1");
    expect(await stream.next()).toBe("pause aex-1/1 lunch");
    expect(await stream.next()).toBe("cancel aex-1/1 enough");
  });
});

describe("what was asked of a run", () => {
  it("is said again to a runner that comes back, after a broken stream and after a restart of the server", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    stream.close();
    await until(async () => (await given.server.engine.metrics()).runners.length === 0, "the break");
    await given.server.engine.deliver("aex-1", message("m1"));
    await given.server.engine.pause("aex-1", "lunch");
    const again = runner.attach({ held });
    expect(await again.next()).toBe("attached aex-1/1");
    expect(await again.next()).toBe("inbox aex-1/1 m1");
    expect(await again.next()).toBe("pause aex-1/1 lunch");
    await given.server.engine.cancel("aex-1", "enough");
    await given.server.restart();
    const after = given.runner("r1").attach({ held });
    expect(await after.next()).toBe("attached aex-1/1");
    expect(await after.next()).toBe("inbox aex-1/1 m1");
    expect(await after.next()).toBe("pause aex-1/1 lunch");
    expect(await after.next()).toBe("cancel aex-1/1 enough");
  });

  it("is not said again when it was taken back meanwhile", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    await given.server.engine.pause("aex-1", "lunch");
    expect(await stream.next()).toBe("pause aex-1/1 lunch");
    await given.server.engine.resume("aex-1");
    const again = runner.attach({ held });
    expect(await again.next()).toBe("attached aex-1/1");
    await given.server.engine.deliver("aex-1", message("m1"));
    expect(await again.next()).toBe("inbox aex-1/1 m1");
  });

  it("goes to the holder only: a runner that lost the task hears nothing", async () => {
    const given = world();
    const { stream } = await holding(given);
    const other = given.runner("r2").attach();
    expect(await other.next()).toBe("attached");
    given.clock.advance(10_000);
    expect(await stream.next()).toBe("lost aex-1/1");
    await given.runner("r2").client.heartbeat({ runnerId: "r2" });
    expect(await other.next()).toBe("lease aex-1/2");
    await given.server.engine.pause("aex-1", "lunch");
    expect(await other.next()).toBe("pause aex-1/2 lunch");
    await given.server.engine.close();
    expect(await stream.next()).toBe("end");
  });
});

describe("a run at rest", () => {
  it("waits for its resume while its runner works on other things, and keeps its attempt", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    expect(await given.server.engine.pause("aex-1", "lunch")).toBe("running");
    expect(await stream.next()).toBe("pause aex-1/1 lunch");
    await restWith(runner, ReleaseHold.PAUSE_REQUESTED);
    expect(await queueOf(given)).toEqual({ waiting: 0, paused: 1, leased: 0 });
    await given.run("aex-2");
    expect(await stream.next()).toBe("lease aex-2/1");
    expect(await given.server.engine.pause("aex-1", "twice")).toBe("waiting");
    expect(await given.server.engine.resume("aex-1")).toBe("waiting");
    expect(await stream.next()).toBe("lease aex-1/2");
    expect(await given.server.queue.find("aex-1")).toMatchObject({ attempt: 1, pauseReason: undefined });
  });

  it("goes on at once when it was resumed while it came to rest", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    await given.server.engine.pause("aex-1", "lunch");
    expect(await stream.next()).toBe("pause aex-1/1 lunch");
    expect(await given.server.engine.resume("aex-1")).toBe("running");
    await restWith(runner, ReleaseHold.PAUSE_REQUESTED);
    expect(await stream.next()).toBe("lease aex-1/2");
  });

  it("by itself waits for its resume too, and a restart changes nothing about that", async () => {
    const given = world();
    const { runner } = await holding(given);
    await restWith(runner, ReleaseHold.PAUSED_ITSELF, { reason: "A tool call waits for a decision." });
    await restWith(runner, ReleaseHold.PAUSED_ITSELF, { reason: "A tool call waits for a decision." });
    await given.server.restart();
    const again = given.runner("r2").attach();
    expect(await again.next()).toBe("attached");
    await rest();
    expect(await queueOf(given)).toEqual({ waiting: 0, paused: 1, leased: 0 });
    expect((await given.server.queue.find("aex-1"))?.pauseReason).toBe("A tool call waits for a decision.");
    await given.server.engine.resume("aex-1");
    expect(await again.next()).toBe("lease aex-1/2");
  });

  it("by itself goes on when something came that it has not seen", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    await given.server.engine.deliver("aex-1", message("m1"));
    await given.server.engine.deliver("aex-1", message("m2"));
    await restWith(runner, ReleaseHold.PAUSED_ITSELF, { inboxSeen: 1 });
    expect(await stream.next()).toBe("inbox aex-1/1 m1");
    expect(await stream.next()).toBe("inbox aex-1/1 m2");
    expect(await stream.next()).toBe("lease aex-1/2 m1 m2");
    await restWith(runner, ReleaseHold.PAUSED_ITSELF, { fence: 2, inboxSeen: 2 });
    expect(await queueOf(given)).toEqual({ waiting: 0, paused: 1, leased: 0 });
  });

  it("by itself goes on when it was resumed before its runner let go of it, that once", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    expect(await given.server.engine.resume("aex-1")).toBe("running");
    await restWith(runner, ReleaseHold.PAUSED_ITSELF);
    expect(await stream.next()).toBe("lease aex-1/2");
    await restWith(runner, ReleaseHold.PAUSED_ITSELF, { fence: 2 });
    expect(await queueOf(given)).toEqual({ waiting: 0, paused: 1, leased: 0 });
    await given.server.engine.resume("aex-1");
    expect(await stream.next()).toBe("lease aex-1/3");
    await given.server.engine.resume("aex-1");
    await given.server.engine.pause("aex-1", "lunch");
    await restWith(runner, ReleaseHold.PAUSED_ITSELF, { fence: 3 });
    expect(await queueOf(given)).toEqual({ waiting: 0, paused: 1, leased: 0 });
  });

  it("ends at once when it is cancelled, also when the cancel crossed its rest", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    await restWith(runner, ReleaseHold.PAUSED_ITSELF, { reason: "waits" });
    await given.server.engine.cancel("aex-1", "enough");
    await until(() => given.server.ends.length === 1, "the end");
    await given.run("aex-2");
    expect(await stream.next()).toBe("lease aex-2/1");
    await given.server.engine.cancel("aex-2", "enough");
    const lease = { taskId: "aex-2", fence: 1 };
    await runner.client.releaseLease({ runnerId: "r1", lease, hold: ReleaseHold.PAUSED_ITSELF, reason: "waits" });
    await until(() => given.server.ends.length === 2, "the end");
    expect(given.server.ends.map(({ phase, error }) => [phase, error])).toEqual([
      [ExecutionPhase.EXECUTION_CANCELLED, "enough"],
      [ExecutionPhase.EXECUTION_CANCELLED, "enough"],
    ]);
    expect(await queueOf(given)).toEqual({ waiting: 0, paused: 0, leased: 0 });
  });

  it("is not brought about by a runner that lost the task", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    given.clock.advance(10_000);
    expect(await stream.next()).toBe("lost aex-1/1");
    await runner.client.heartbeat({ runnerId: "r1" });
    expect(await stream.next()).toBe("lease aex-1/2");
    for (const hold of [ReleaseHold.PAUSED_ITSELF, ReleaseHold.PAUSE_REQUESTED])
      await expect(restWith(runner, hold)).rejects.toMatchObject({ code: Code.Aborted });
    expect(await given.server.queue.find("aex-1")).toMatchObject({ fence: 2, pauseReason: undefined });
    expect(await queueOf(given)).toEqual({ waiting: 0, paused: 0, leased: 1 });
  });
});

describe("a pause that was asked for", () => {
  it("holds also when the runner is lost, fails or leaves before the run came to rest", async () => {
    const given = world();
    const { engine } = given.server;
    const { runner, stream } = await holding(given);
    const atRest = { waiting: 0, paused: 1, leased: 0 };
    const isAtRest = async (): Promise<boolean> => (await engine.metrics()).paused === 1;
    await engine.pause("aex-1", "first");
    given.clock.advance(10_000);
    await until(isAtRest, "the loss");
    await runner.client.heartbeat({ runnerId: "r1" });
    await rest();
    expect(await queueOf(given)).toEqual(atRest);

    expect(await stream.next()).toBe("pause aex-1/1 first");
    expect(await stream.next()).toBe("lost aex-1/1");
    await engine.resume("aex-1");
    expect(await stream.next()).toBe("lease aex-1/2");
    await engine.pause("aex-1", "second");
    const failure = { case: "failure", value: { message: "disk full", retryable: true } } as const;
    await runner.complete({ taskId: "aex-1", fence: 2 }, failure);
    given.clock.advance(9_000);
    await rest();
    expect(await queueOf(given)).toEqual(atRest);

    expect(await stream.next()).toBe("pause aex-1/2 second");
    await engine.resume("aex-1");
    expect(await stream.next()).toBe("lease aex-1/3");
    await engine.pause("aex-1", "third");
    await restWith(runner, ReleaseHold.UNSPECIFIED, { fence: 3 });
    const other = given.runner("r2").attach();
    expect(await other.next()).toBe("attached");
    await rest();
    expect(await queueOf(given)).toEqual(atRest);
    await engine.resume("aex-1");
    expect(await other.next()).toBe("lease aex-1/4");
    expect(await given.server.queue.find("aex-1")).toMatchObject({ attempt: 3 });
  });
});
