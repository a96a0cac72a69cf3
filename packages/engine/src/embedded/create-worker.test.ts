import { Code } from "@connectrpc/connect";
import { type AgentExecution, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { afterEach, describe, expect, it } from "vitest";
import { until } from "../conformance/until.ts";
import type { ActivityContext } from "../contract.ts";
import type { ActivityStop } from "../errors.ts";
import { createManualClock } from "./__fixtures__/manual-clock.ts";
import { rest } from "./__fixtures__/rest.ts";
import { createFixtureServer, quiet } from "./__fixtures__/server.ts";
import { createWire } from "./__fixtures__/wire.ts";
import { beat, closeWorlds, completed, gated, stopOf, world } from "./__fixtures__/worker-world.ts";
import { createEmbeddedWorker } from "./create-worker.ts";

afterEach(closeWorlds);

describe("work in flight", () => {
  it("goes on while its stream breaks, and ends under the same fence", async () => {
    const work = gated();
    const { server, wire, worker, run } = world({ activities: work });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    for (let turn = 0; turn < 3; turn += 1) {
      wire.breakStreams();
      await until(async () => (await server.engine.metrics()).runners.length === 0, "the break");
      await until(async () => (await server.engine.metrics()).runners[0]?.leased === 1, "the runner to come back");
    }
    work.open();
    await until(() => server.ends.length === 1, "the end");
    expect(server.finished).toMatchObject([{ fence: 1, status: { phase: ExecutionPhase.EXECUTION_COMPLETED } }]);
    expect(work.contexts.map(stopOf)).toEqual(["none"]);
  });

  it("goes on while the server restarts", async () => {
    const work = gated();
    const { server, wire, worker, run } = world({ activities: work });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    wire.cut();
    await server.restart();
    wire.heal();
    await until(async () => (await server.engine.metrics()).runners[0]?.leased === 1, "the runner to come back");
    work.open();
    await until(() => server.ends.length === 1, "the end");
    expect(work.contexts).toHaveLength(1);
    expect(server.finished).toMatchObject([{ fence: 1 }]);
  });

  it("that ends while the server is away is reported when it is back", async () => {
    const work = gated();
    const { server, wire, worker, run } = world({ activities: work, engine: { reattachMs: 20_000 } });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    wire.cut();
    work.open();
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(server.ends).toEqual([]);
    wire.heal();
    await until(() => server.ends.length === 1, "the end");
    expect(server.finished).toMatchObject([{ fence: 1 }]);
  });

  it("is reported once when the server's answer was lost", async () => {
    const { server, wire, worker, run } = world();
    await worker.ready;
    wire.loseAnswerOf("completeLease");
    await run("aex-1");
    await until(
      async () => (await server.engine.metrics()).runners[0]?.leased === 0 && server.ends.length > 0,
      "the end",
    );
    await run("aex-2");
    await until(() => server.ends.length === 2, "the next");
    expect(server.ends.map(({ executionId }) => executionId)).toEqual(["aex-1", "aex-2"]);
  });

  it("is reported no more when it ended with its run, nor shown as held, and makes room", async () => {
    const clock = createManualClock();
    const endings: string[] = [];
    const done = Promise.withResolvers<void>();
    const activities = {
      executeGraphton: async (execution: AgentExecution, _thread: unknown, { fence, ending }: ActivityContext) => {
        const executionId = execution.metadata?.id ?? "";
        if (!ending) throw new Error("Nothing to end by.");
        // As the server does it: the store first, then the engine, then the answer.
        await server.queue.complete({ taskId: executionId, fence }, ending.runnerId);
        server.engine.leaseEnded({ executionId, fence, runnerId: ending.runnerId });
        ending.ended();
        endings.push(executionId);
        if (executionId === "aex-1") await done.promise;
        return completed();
      },
    };
    const { server, wire, worker, run } = world({ activities, maxConcurrency: 1, clock });
    await worker.ready;
    await run("aex-1", "aex-2");
    await until(() => endings.length === 2, "the second, while the first one's activity has not returned");
    await beat(clock, wire);
    done.resolve();
    await rest();
    expect(endings).toEqual(["aex-1", "aex-2"]);
    expect([wire.answered("completeLease"), server.ends]).toEqual([0, []]);
    expect((await server.engine.metrics()).runners).toMatchObject([{ leased: 0 }]);
  });

  it("is reported by phase, error, times and revision: messages went another way", async () => {
    const { server, worker, run } = world();
    await worker.ready;
    await run("aex-1");
    await until(() => server.ends.length === 1, "the end");
    expect(server.finished[0]?.status).toMatchObject({ revision: 7, messages: [] });
  });

  it("is cancelled also when the cancel came while the stream was broken", async () => {
    const work = gated();
    const { server, wire, worker, run } = world({ activities: work, engine: { reattachMs: 20_000 } });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    wire.cut();
    await server.engine.cancel("aex-1", "enough");
    wire.heal();
    await until(() => server.ends.length === 1, "the end");
    expect(server.ends).toEqual([{ executionId: "aex-1", phase: ExecutionPhase.EXECUTION_CANCELLED, error: "enough" }]);
    expect(work.contexts.map(stopOf)).toEqual(["cancelled"]);
  });

  it("without a session is over, and says why", async () => {
    const { server, worker } = world();
    await worker.ready;
    await server.submit({ id: "aex-1", sessionId: "" });
    await server.engine.start("aex-1");
    await until(() => server.ends.length === 1, "the end");
    expect(server.ends[0]?.error).toBe("Session ID is required for execution aex-1");
  });
});

describe("heartbeats", () => {
  it("keep a silent activity's lease for as long as it takes", async () => {
    const clock = createManualClock();
    const work = gated();
    const { server, wire, worker, run } = world({ activities: work, clock, engine: { clock } });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    for (let turn = 0; turn < 20; turn += 1) await beat(clock, wire);
    expect(work.contexts.map(stopOf)).toEqual(["none"]);
    work.open();
    await until(() => server.ends.length === 1, "the end");
    expect(server.finished).toMatchObject([{ fence: 1 }]);
  });

  it("stop work whose lease is lost, and nothing more is reported for it", async () => {
    const clock = createManualClock();
    const work = gated();
    const { server, wire, worker, run } = world({ activities: work, clock, engine: { clock }, maxConcurrency: 1 });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    await server.queue.complete({ taskId: "aex-1", fence: 1 }, "r1");
    await beat(clock, wire);
    await until(() => stopOf(work.contexts[0]!) === "lease-lost", "the stop");
    await run("aex-2");
    await until(() => work.contexts.length === 2, "the place to be free");
    work.open();
    await until(() => server.ends.length === 1, "the end");
    expect(server.ends[0]?.executionId).toBe("aex-2");
  });
});

describe("a lost lease", () => {
  it("comes back to the same runner only after the earlier work has stopped", async () => {
    const clock = createManualClock();
    const steps: string[] = [];
    const stopped = Promise.withResolvers<void>();
    const { server, wire, worker, run } = world({
      clock,
      engine: { clock },
      activities: {
        executeGraphton: async (_execution, _threadId, { fence, signal }) => {
          steps.push(`starts under ${String(fence)}`);
          if (fence > 1) return completed();
          await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
          steps.push("is told to stop");
          await stopped.promise;
          steps.push("has stopped");
          throw signal.reason;
        },
      },
    });
    await worker.ready;
    await run("aex-1");
    await until(() => steps.length === 1, "the run");
    wire.cut();
    await until(async () => (await server.engine.metrics()).runners.length === 0, "the break");
    await until(async () => (await server.queue.nextDue({ now: 0 })) === clock.now() + 1_000, "the window");
    await rest();
    clock.advance(1_000);
    await until(async () => (await server.engine.metrics()).waiting === 1, "the loss");
    wire.heal();
    await rest();
    clock.advance(2_000);
    await until(async () => steps.length === 2 && (await server.engine.metrics()).leased === 1, "the next lease");
    stopped.resolve();
    await until(() => server.ends.length === 1, "the end");
    expect(steps).toEqual(["starts under 1", "is told to stop", "has stopped", "starts under 2"]);
    expect(server.finished).toMatchObject([{ fence: 2 }]);
  });
});

describe("run", () => {
  it("waits for a server that is not there yet", async () => {
    const server = createFixtureServer();
    const wire = createWire(server.transport);
    wire.cut();
    const activities = {
      ensureThread: async () => "t",
      executeGraphton: async () => completed(),
      cleanupSandbox: async () => {},
    };
    const worker = createEmbeddedWorker({
      transport: wire,
      activities,
      runnerId: "r1",
      maxConcurrency: 1,
      version: "1",
      logger: quiet,
    });
    const running = worker.run();
    wire.heal();
    await worker.ready;
    await worker.drain({ deadlineMs: 0 });
    await running;
    await server.engine.close();
  });

  it.each([Code.Unauthenticated, Code.PermissionDenied, Code.Unimplemented])(
    "rejects when the server refuses with %d",
    async (code) => {
      const { wire, worker, running } = world();
      await worker.ready;
      wire.cut(code);
      await expect(running).rejects.toMatchObject({ code: "refused" });
    },
  );

  it("tells who waits for `ready` that it never comes", async () => {
    const server = createFixtureServer();
    const wire = createWire(server.transport);
    wire.cut();
    const activities = {
      ensureThread: async () => "t",
      executeGraphton: async () => completed(),
      cleanupSandbox: async () => {},
    };
    const worker = createEmbeddedWorker({
      transport: wire,
      activities,
      runnerId: "r1",
      maxConcurrency: 1,
      version: "1",
      logger: quiet,
    });
    const running = worker.run();
    await worker.drain({ deadlineMs: 0 });
    await expect(worker.ready).rejects.toMatchObject({ code: "closed" });
    await running;
    await server.engine.close();
  });

  it("refuses options that cannot work", () => {
    const activities = {
      ensureThread: async () => "t",
      executeGraphton: async () => completed(),
      cleanupSandbox: async () => {},
    };
    const good = {
      transport: createWire(() => {
        throw new Error("unused");
      }),
      activities,
      runnerId: "r1",
      maxConcurrency: 1,
      version: "1",
      logger: quiet,
    };
    expect(() => createEmbeddedWorker({ ...good, maxConcurrency: 0 })).toThrow(
      "Expected maxConcurrency of at least 1, got 0.",
    );
    expect(() => createEmbeddedWorker({ ...good, runnerId: "" })).toThrow("Expected a runnerId");
  });
});

describe("drain", () => {
  it("stops what is still at work after the deadline, and hands it back", async () => {
    const clock = createManualClock();
    const work = gated();
    const { server, worker, running, run } = world({ activities: work, clock, engine: { clock } });
    await worker.ready;
    await run("aex-1", "aex-2");
    await until(() => work.contexts.length === 2, "the runs");
    const drained = worker.drain({ deadlineMs: 7_000 });
    clock.advance(3_499);
    await rest();
    expect(work.contexts.map(({ pause }) => pause.aborted)).toEqual([false, false]);
    clock.advance(1);
    await rest();
    expect(work.contexts.map(({ pause }) => (pause.reason as ActivityStop).kind)).toEqual(["draining", "draining"]);
    clock.advance(3_499);
    await rest();
    expect(work.contexts.map(stopOf)).toEqual(["none", "none"]);
    clock.advance(1);
    await drained;
    await running;
    expect(work.contexts.map(stopOf)).toEqual(["draining", "draining"]);
    expect(await server.engine.metrics()).toMatchObject({ waiting: 2, leased: 0, runners: [] });
    expect(server.ends).toEqual([]);
  });

  it("hands back before the deadline what came to rest by then", async () => {
    const clock = createManualClock();
    let context: ActivityContext | undefined;
    const { server, worker, run } = world({
      clock,
      engine: { clock },
      activities: {
        executeGraphton: (_execution, _threadId, given) => {
          context = given;
          return new Promise((_resolve, reject) => {
            given.pause.addEventListener("abort", () => reject(given.pause.reason as Error), { once: true });
          });
        },
      },
    });
    await worker.ready;
    await run("aex-1");
    await until(() => context !== undefined, "the run");
    const drained = worker.drain({ deadlineMs: 7_000 });
    await rest();
    clock.advance(3_500);
    await drained;
    expect(context?.signal.aborted).toBe(false);
    expect(await server.engine.metrics()).toMatchObject({ waiting: 1, paused: 0, leased: 0 });
    expect(await server.queue.find("aex-1")).toMatchObject({ attempt: 0 });
  });

  it("takes nothing new while work in flight ends", async () => {
    const work = gated();
    const { server, worker, run } = world({ activities: work });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    const drained = worker.drain({ deadlineMs: 60_000 });
    await run("aex-2");
    await until(
      async () => (await server.engine.metrics()).waiting === 1 && (await server.engine.metrics()).leased === 1,
      "aex-2 to be back",
    );
    work.open();
    await drained;
    expect(server.ends.map(({ executionId }) => executionId)).toEqual(["aex-1"]);
    expect(work.contexts).toHaveLength(1);
    const again = await server.queue.lease({
      queue: "agent_execution_runner",
      runnerId: "r2",
      now: Date.now(),
      leaseMs: 1,
      maxAttempts: 5,
    });
    expect(again).toMatchObject({ id: "aex-2", attempt: 1 });
  });

  it("does not wait for what never stops", async () => {
    const clock = createManualClock();
    let started = false;
    const { server, worker, run } = world({
      clock,
      engine: { clock },
      activities: {
        executeGraphton: () => {
          started = true;
          return new Promise(() => {});
        },
      },
    });
    await worker.ready;
    await run("aex-1");
    await until(() => started, "the run");
    let over = false;
    const drained = worker.drain({ deadlineMs: 0 }).finally(() => (over = true));
    await until(() => {
      clock.advance(1_000);
      return over;
    }, "the drain");
    await drained;
    expect(await server.queue.counts()).toMatchObject({ waiting: 1, leased: 0 });
  });
});
