import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { AgentExecutionSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { CleanupSandboxTaskSchema } from "@stigmer/protos/runner/v1";
import { afterEach, describe, expect, it } from "vitest";
import { until } from "../conformance/until.ts";
import { closeWorlds, holding, world } from "./__fixtures__/engine-world.ts";
import type { RawRunner } from "./__fixtures__/raw-runner.ts";
import { rest } from "./__fixtures__/rest.ts";

// Windows in manual time: lease 10 s, reattach 1 s, after a restart 3 s.

afterEach(closeWorlds);

const held = [{ taskId: "aex-1", fence: 1 }];
const stale = { code: Code.Aborted };

describe("a broken stream", () => {
  it("leaves the lease to a runner that comes back inside the window, under the same fence", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    stream.close();
    await until(async () => (await given.server.queue.nextDue({ now: 0 })) === given.clock.now() + 1_000, "the window");
    await rest();
    given.clock.advance(999);
    const again = runner.attach({ held });
    expect(await again.next()).toBe("attached aex-1/1");
    given.clock.advance(9_999);
    await rest();
    await runner.complete({ taskId: "aex-1", fence: 1 });
    expect(given.server.ends).toHaveLength(1);
  });

  it("gives the task to the next runner after the window, and takes no end from the earlier one", async () => {
    const given = world();
    const { runner: zombie, stream } = await holding(given);
    const next = given.runner("r2");
    const nextStream = next.attach();
    expect(await nextStream.next()).toBe("attached");
    stream.close();
    await until(async () => (await given.server.queue.nextDue({ now: 0 })) === given.clock.now() + 1_000, "the window");
    await rest();
    given.clock.advance(1_000);
    expect(await nextStream.next()).toBe("lease aex-1/2");
    await expect(zombie.complete({ taskId: "aex-1", fence: 1 })).rejects.toMatchObject(stale);
    await expect(zombie.client.releaseLease({ runnerId: "r1", lease: held[0] })).rejects.toMatchObject(stale);
    expect((await zombie.client.heartbeat({ runnerId: "r1", held })).lost).toMatchObject(held);
    expect(await zombie.attach({ held }).next()).toBe("attached");
    expect(given.server.ends).toEqual([]);
    await next.complete({ taskId: "aex-1", fence: 2 });
    expect(given.server.finished).toMatchObject([{ executionId: "aex-1", fence: 2 }]);
  });

  it("gives back at once what a runner that attached again does not know of", async () => {
    const given = world();
    const { runner } = await holding(given);
    const again = runner.attach();
    expect(await again.next()).toBe("attached");
    expect(await again.next()).toBe("lease aex-1/2");
  });

  it("ends the earlier stream of a runner that attaches again, and keeps what it holds", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    const again = runner.attach({ held });
    expect(await again.next()).toBe("attached aex-1/1");
    expect(await stream.next()).toBe("end");
    given.clock.advance(9_000);
    await rest();
    await runner.complete({ taskId: "aex-1", fence: 1 });
  });
});

describe("a silent runner", () => {
  it("is told that its task is lost, and gets no other until it is heard of again", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    given.clock.advance(9_999);
    await rest();
    expect((await given.server.engine.metrics()).leased).toBe(1);
    given.clock.advance(1);
    expect(await stream.next()).toBe("lost aex-1/1");
    await rest();
    expect(await given.server.engine.metrics()).toMatchObject({ waiting: 1, leased: 0 });
    await runner.client.heartbeat({ runnerId: "r1" });
    expect(await stream.next()).toBe("lease aex-1/2");
  });

  it("is not one that sends heartbeats", async () => {
    const given = world();
    const { runner } = await holding(given);
    for (let turn = 0; turn < 10; turn += 1) {
      given.clock.advance(9_000);
      expect((await runner.client.heartbeat({ runnerId: "r1", held })).lost).toEqual([]);
    }
    await runner.complete({ taskId: "aex-1", fence: 1 });
  });

  it("is not one that nobody could hear because this process slept", async () => {
    const given = world();
    const { runner } = await holding(given);
    given.clock.oversleep(3_600_000);
    await rest();
    expect((await runner.client.heartbeat({ runnerId: "r1", held })).lost).toEqual([]);
    await runner.complete({ taskId: "aex-1", fence: 1 });
  });
});

describe("a clock that is set back", () => {
  const BACK_MS = 600_000;

  it("keeps no run with a runner that is gone", async () => {
    const given = world();
    const { stream } = await holding(given);
    const other = given.runner("r2").attach();
    expect(await other.next()).toBe("attached");
    stream.close();
    await until(async () => (await given.server.queue.nextDue({ now: 0 })) === given.clock.now() + 1_000, "the window");
    await rest();
    given.clock.goBack(BACK_MS);
    for (let turn = 0; turn < 5; turn += 1) {
      given.clock.advance(1_000);
      await rest();
    }
    expect(await other.next()).toBe("lease aex-1/2");
  });

  it("takes none from a runner that lives", async () => {
    const given = world();
    const { runner } = await holding(given);
    given.clock.goBack(BACK_MS);
    for (let turn = 0; turn < 30; turn += 1) {
      given.clock.advance(1_000);
      await rest();
      expect((await runner.client.heartbeat({ runnerId: "r1", held })).lost).toEqual([]);
    }
    await runner.complete({ taskId: "aex-1", fence: 1 });
  });
});

describe("a restart of the server", () => {
  it("leaves runs with their runners, under the same fence", async () => {
    const given = world();
    const { stream } = await holding(given);
    given.clock.advance(9_900);
    await given.server.restart();
    expect(await stream.next()).toBe("end");
    given.clock.advance(2_999);
    const again = given.runner("r1").attach({ held });
    expect(await again.next()).toBe("attached aex-1/1");
    given.clock.advance(5_000);
    await rest();
    await given.runner("r1").complete({ taskId: "aex-1", fence: 1 });
    expect(given.server.finished).toMatchObject([{ executionId: "aex-1", fence: 1 }]);
  });

  it("gives the runs of runners that stay away to others", async () => {
    const given = world();
    await holding(given);
    await given.server.restart();
    const other = given.runner("r2").attach();
    expect(await other.next()).toBe("attached");
    given.clock.advance(2_999);
    await rest();
    expect((await given.server.engine.metrics()).leased).toBe(1);
    given.clock.advance(1);
    expect(await other.next()).toBe("lease aex-1/2");
  });

  it("forgets no cancel: neither of what waits nor of what runs", async () => {
    const given = world({ onFinished: async () => {} });
    await holding(given);
    await given.server.engine.cancel("aex-1", "enough");
    await given.server.restart();
    const again = given.runner("r1").attach({ held });
    expect(await again.next()).toBe("attached aex-1/1");
    expect(await again.next()).toBe("cancel aex-1/1 enough");
  });

  it("tells the end of what was cancelled while no engine ran", async () => {
    const given = world();
    await given.server.engine.close();
    await given.server.submit({ id: "aex-1", sessionId: "s" });
    await given.server.queue.requestCancel("aex-1", "enough");
    await given.server.restart();
    await until(() => given.server.ends.length > 0, "the end");
    expect(given.server.ends).toEqual([
      { executionId: "aex-1", phase: ExecutionPhase.EXECUTION_CANCELLED, error: "enough" },
    ]);
  });
});

describe("the end of a task", () => {
  it("is answered again when the answer was lost, and stored once", async () => {
    const given = world();
    const { runner } = await holding(given);
    await runner.complete({ taskId: "aex-1", fence: 1 });
    await runner.complete({ taskId: "aex-1", fence: 1 });
    expect(given.server.ends).toHaveLength(1);
  });

  it("is not acknowledged before it is stored", async () => {
    let faults = 1;
    const given = world({
      onFinished: async () => {
        if (faults-- > 0) throw new Error("disk full");
      },
    });
    const { runner } = await holding(given);
    await expect(runner.complete({ taskId: "aex-1", fence: 1 })).rejects.toMatchObject({ code: Code.Internal });
    expect((await given.server.engine.metrics()).leased).toBe(1);
    await runner.complete({ taskId: "aex-1", fence: 1 });
    expect((await given.server.engine.metrics()).leased).toBe(0);
  });

  it("of a cancelled task that waits is tried again until it is stored", async () => {
    let tries = 0;
    let full = true;
    const given = world({
      onFinished: async () => {
        tries += 1;
        if (full) throw new Error("disk full");
      },
    });
    await given.run("aex-1");
    await given.server.engine.cancel("aex-1", "enough");
    await until(() => tries > 0, "the first try");
    await rest();
    const failed = tries;
    full = false;
    given.clock.advance(1_000);
    await until(async () => (await given.server.engine.metrics()).waiting === 0, "the end");
    expect(tries).toBe(failed + 1);
  });

  it("is a failure of the run when the runner says that another attempt is useless", async () => {
    const given = world();
    const { runner } = await holding(given);
    await runner.complete(
      { taskId: "aex-1", fence: 1 },
      { case: "failure", value: { message: "no session", retryable: false } },
    );
    expect(given.server.ends).toEqual([
      { executionId: "aex-1", phase: ExecutionPhase.EXECUTION_FAILED, error: "no session" },
    ]);
  });

  it("comes when every attempt lost its runner", async () => {
    const given = world({ maxAttempts: 2 });
    const { runner, stream } = await holding(given);
    given.clock.advance(10_000);
    expect(await stream.next()).toBe("lost aex-1/1");
    await runner.client.heartbeat({ runnerId: "r1" });
    expect(await stream.next()).toBe("lease aex-1/2");
    given.clock.advance(10_000);
    await until(() => given.server.ends.length > 0, "the end");
    expect(given.server.ends[0]).toMatchObject({ executionId: "aex-1", phase: ExecutionPhase.EXECUTION_FAILED });
    expect(given.server.ends[0]?.error).toMatch(/given up after 2 attempts.*runner was lost/);
  });

  it("is a cancelled one when the runner of a cancelled run is lost", async () => {
    const given = world();
    const { stream } = await holding(given);
    await given.server.engine.cancel("aex-1", "enough");
    expect(await stream.next()).toBe("cancel aex-1/1 enough");
    given.clock.advance(10_000);
    await until(() => given.server.ends.length > 0, "the end");
    expect(given.server.ends).toEqual([
      { executionId: "aex-1", phase: ExecutionPhase.EXECUTION_CANCELLED, error: "enough" },
    ]);
  });
});

describe("handing out", () => {
  it("waits longer after each failed attempt", async () => {
    const given = world({ maxAttempts: 9 });
    const { runner, stream } = await holding(given);
    const waits = [500, 1_000, 2_000, 4_000];
    for (const [index, wait] of waits.entries()) {
      const failure = { case: "failure", value: { message: "disk full", retryable: true } } as const;
      await runner.complete({ taskId: "aex-1", fence: index + 1 }, failure);
      await until(async () => (await given.server.queue.nextDue({ now: given.clock.now() })) !== undefined, "the wait");
      expect((await given.server.queue.nextDue({ now: given.clock.now() })) ?? 0).toBe(given.clock.now() + wait);
      await rest();
      given.clock.advance(wait);
      expect(await stream.next()).toBe(`lease aex-1/${String(index + 2)}`);
    }
  });

  it("passes over no task whose wait ends just while it looks", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    const { queue } = given.server;
    const lease = queue.lease;
    queue.lease = async (options) => {
      const task = await lease(options);
      if (given.clock.now() < 1_000_500) given.clock.advance(500);
      return task;
    };
    const failure = { case: "failure", value: { message: "disk full", retryable: true } } as const;
    await runner.complete({ taskId: "aex-1", fence: 1 }, failure);
    await until(() => given.clock.now() >= 1_000_500, "the look");
    await rest();
    given.clock.advance(1);
    expect(await stream.next()).toBe("lease aex-1/2");
  });

  it("gives a runner no more than it has room for, and spreads work over runners", async () => {
    const given = world();
    const first = given.runner("r1");
    const streams = [first.attach({ maxConcurrency: 2 }), given.runner("r2").attach({ maxConcurrency: 2 })];
    for (const stream of streams) expect(await stream.next()).toBe("attached");
    await given.run("aex-1", "aex-2", "aex-3", "aex-4", "aex-5");
    await until(async () => (await given.server.engine.metrics()).leased === 4, "four leases");
    await rest();
    const { runners, waiting } = await given.server.engine.metrics();
    expect(runners.map(({ leased }) => leased)).toEqual([2, 2]);
    expect(waiting).toBe(1);
    const [taskId = ""] = (await streams[0]?.next())?.replace("lease ", "").split("/") ?? [];
    await first.complete({ taskId, fence: 1 });
    await until(async () => (await given.server.engine.metrics()).waiting === 0, "the fifth lease");
  });

  it("takes no more out of the queue than runners have room for, however much waits", async () => {
    const loaded: string[] = [];
    const given = world({
      loadExecution: async (id) => {
        loaded.push(id);
        return create(AgentExecutionSchema, { metadata: { id } });
      },
    });
    const { server } = given;
    await given.run(...Array.from({ length: 300 }, (_, index) => `aex-${String(index)}`));
    const runner = given.runner("r1");
    const stream = runner.attach({ maxConcurrency: 3 });
    expect(await stream.next()).toBe("attached");
    for (const index of [0, 1, 2]) expect(await stream.next()).toBe(`lease aex-${String(index)}/1`);
    await server.engine.start("aex-299");
    await rest();
    expect(await server.engine.metrics()).toMatchObject({ waiting: 297, leased: 3, runners: [{ leased: 3 }] });
    expect(loaded).toEqual(["aex-0", "aex-1", "aex-2"]);
    await runner.complete({ taskId: "aex-1", fence: 1 });
    expect(await stream.next()).toBe("lease aex-3/1");
    await rest();
    expect(loaded).toHaveLength(4);
  });

  it("gives a runner that handed work back nothing more on that stream", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    await runner.client.releaseLease({ runnerId: "r1", lease: held[0], reason: "shutting down" });
    await rest();
    expect(await given.server.engine.metrics()).toMatchObject({ waiting: 1, leased: 0 });
    stream.close();
    const again = runner.attach();
    expect(await again.next()).toBe("attached");
    expect(await again.next()).toBe("lease aex-1/2");
  });

  it("drops the task of an execution that is gone, and frees its place", async () => {
    const given = world();
    const stream = given.runner("r1").attach({ maxConcurrency: 1 });
    expect(await stream.next()).toBe("attached");
    await given.server.submit({ id: "aex-1", sessionId: "s" });
    given.server.executions.delete("aex-1");
    await given.server.engine.start("aex-1");
    await given.run("aex-2");
    expect(await stream.next()).toBe("lease aex-2/1");
    expect(await given.server.engine.metrics()).toMatchObject({ waiting: 0, leased: 1 });
    expect(given.server.ends).toEqual([]);
  });

  it("keeps a task that could not be read for later, without counting the attempt", async () => {
    let faults = 1;
    const given = world({
      maxAttempts: 1,
      loadExecution: async () => {
        if (faults-- > 0) throw new Error("disk full");
        return undefined;
      },
    });
    const stream = given.runner("r1").attach();
    expect(await stream.next()).toBe("attached");
    await given.run("aex-1");
    await until(async () => faults === 0 && (await given.server.engine.metrics()).waiting === 1, "the fault");
    await rest();
    given.clock.advance(1_000);
    await until(async () => (await given.server.engine.metrics()).waiting === 0, "the second look");
    expect(given.server.ends).toEqual([]);
  });

  it("carries what a cleanup needs, and ends it without an execution's end", async () => {
    const given = world();
    const runner = given.runner("r1");
    const payload = toBinary(
      CleanupSandboxTaskSchema,
      create(CleanupSandboxTaskSchema, { sandboxId: "sbx", sessionId: "ses-1" }),
    );
    const task = {
      kind: "cleanup-sandbox",
      queue: "agent_execution_runner",
      sessionId: "ses-1",
      org: "",
      createdAt: 0,
    } as const;
    await given.server.queue.enqueue({ ...task, id: "clean", payload });
    const [attached, lease] = await takeTwo(runner);
    expect(attached?.event.case).toBe("attached");
    expect(lease?.event.value).toMatchObject({
      task: { case: "cleanupSandbox", value: { sandboxId: "sbx", sessionId: "ses-1" } },
    });
    await runner.complete({ taskId: "clean", fence: 1 }, { case: "done", value: {} });
    expect(await given.server.engine.metrics()).toMatchObject({ waiting: 0, leased: 0 });
    expect(given.server.ends).toEqual([]);
  });

  it("says how long the oldest task waits", async () => {
    const given = world();
    await given.server.queue.enqueue({
      id: "a",
      kind: "execution",
      queue: "q",
      sessionId: "",
      org: "",
      payload: new Uint8Array(),
      createdAt: given.clock.now(),
    });
    given.clock.advance(1_234);
    const { runners, ...queue } = await given.server.engine.metrics();
    expect(queue).toEqual({ waiting: 1, paused: 0, leased: 0, oldestWaitingMs: 1_234 });
    expect(runners).toEqual([]);
  });
});

describe("a closed engine", () => {
  it("ends streams, refuses calls as unavailable, and leaves no timer", async () => {
    const given = world();
    const { runner, stream } = await holding(given);
    await given.server.engine.close();
    await given.server.engine.close();
    expect(await stream.next()).toBe("end");
    await expect(runner.client.heartbeat({ runnerId: "r1", held })).rejects.toMatchObject({ code: Code.Unavailable });
    await expect(given.server.engine.start("aex-1")).rejects.toMatchObject({ code: "closed" });
    await rest();
    expect(given.clock.pending).toBe(0);
  });
});

async function takeTwo(runner: RawRunner): Promise<{ event: { case?: string; value?: unknown } }[]> {
  const events: { event: { case?: string; value?: unknown } }[] = [];
  for await (const event of runner.client.takeLeases({
    runnerId: "r1",
    taskQueue: "agent_execution_runner",
    maxConcurrency: 1,
  })) {
    if (events.push(event) === 2) break;
  }
  return events;
}
