import { create } from "@bufbuild/protobuf";
import { AgentExecutionStatusSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { type InboxItem, InboxItemSchema } from "@stigmer/protos/runner/v1";
import { afterEach, describe, expect, it } from "vitest";
import { until } from "../conformance/until.ts";
import type { Activities, ActivityContext } from "../contract.ts";
import { ActivityStop } from "../errors.ts";
import { createManualClock } from "./__fixtures__/manual-clock.ts";
import { rest } from "./__fixtures__/rest.ts";
import type { FixtureServer } from "./__fixtures__/server.ts";
import { beat, closeWorlds, completed, gated, stopOf, world } from "./__fixtures__/worker-world.ts";

afterEach(closeWorlds);

function message(id: string): InboxItem {
  return create(InboxItemSchema, { id, item: { case: "message", value: { text: "hello" } } });
}

/** An activity that comes to rest in its first attempt, when it is asked to, and ends in the next. */
function resting({ onRest = async () => {} }: { readonly onRest?: () => Promise<void> } = {}): {
  readonly contexts: ActivityContext[];
  readonly executeGraphton: Activities["executeGraphton"];
} {
  const contexts: ActivityContext[] = [];
  return {
    contexts,
    executeGraphton: async (_execution, _threadId, context) => {
      contexts.push(context);
      if (contexts.length > 1) return completed();
      await new Promise((resolve) => context.pause.addEventListener("abort", resolve, { once: true }));
      await onRest();
      throw context.pause.reason;
    },
  };
}

async function queueOf({ engine }: FixtureServer): Promise<object> {
  const { waiting, paused, leased } = await engine.metrics();
  return { waiting, paused, leased };
}

const isPaused = (server: FixtureServer) => async (): Promise<boolean> => (await server.engine.metrics()).paused === 1;

describe("a pause", () => {
  it("brings a run to rest without interrupting it, frees its place, and ends with resume", async () => {
    const work = resting();
    const { server, worker, run } = world({ activities: work, maxConcurrency: 1 });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    await server.engine.pause("aex-1", "lunch");
    await until(isPaused(server), "the rest");
    const [first] = work.contexts;
    expect(first?.pause.reason).toMatchObject({ kind: "paused", message: "lunch" });
    expect(first?.signal.aborted).toBe(false);
    await run("aex-2");
    await until(() => server.ends.length === 1, "the other run");
    await server.engine.resume("aex-1");
    await until(() => server.ends.length === 2, "the end");
    expect(server.finished.map(({ executionId, fence }) => [executionId, fence])).toEqual([
      ["aex-2", 1],
      ["aex-1", 2],
    ]);
    expect(work.contexts.at(-1)).toMatchObject({ attempt: 1, fence: 2 });
  });

  it("that came while the stream was broken is heard of when it stands again", async () => {
    const work = resting();
    const { server, wire, worker, run } = world({ activities: work, engine: { reattachMs: 20_000 } });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    wire.cut();
    await server.engine.pause("aex-1", "lunch");
    wire.heal();
    await until(isPaused(server), "the rest");
    expect(server.ends).toEqual([]);
  });

  it("whose rest was not answered rests once", async () => {
    const work = resting();
    const { server, wire, worker, run } = world({ activities: work });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    wire.loseAnswerOf("releaseLease");
    await server.engine.pause("aex-1", "lunch");
    await until(() => wire.answered("releaseLease") === 1, "the repeated call");
    expect(await queueOf(server)).toEqual({ waiting: 0, paused: 1, leased: 0 });
    await server.engine.resume("aex-1");
    await until(() => server.ends.length === 1, "the end");
    expect(work.contexts).toHaveLength(2);
  });

  it("of its own makes a run wait, for the reason it gave", async () => {
    let attempts = 0;
    const { server, worker, run } = world({
      activities: {
        executeGraphton: async () => {
          attempts += 1;
          if (attempts === 1) throw new ActivityStop("paused", "A tool call waits for a decision.");
          return completed();
        },
      },
    });
    await worker.ready;
    await run("aex-1");
    await until(isPaused(server), "the rest");
    expect((await server.queue.find("aex-1"))?.pauseReason).toBe("A tool call waits for a decision.");
    await server.engine.resume("aex-1");
    await until(() => server.ends.length === 1, "the end");
    expect(attempts).toBe(2);
  });

  it("of its own is void when something came after the run's last look into its inbox", async () => {
    const seen: string[][] = [];
    const { server, worker, run } = world({
      activities: {
        executeGraphton: async (_execution, _threadId, { inbox }) => {
          seen.push(inbox.items.map(({ id }) => id));
          if (seen.length === 2) return completed();
          await server.engine.deliver("aex-1", message("m1"));
          throw new ActivityStop("paused", "A tool call waits for a decision.");
        },
      },
    });
    await worker.ready;
    await run("aex-1");
    await until(() => server.ends.length === 1, "the end, without a resume");
    expect(seen).toEqual([[], ["m1"]]);
  });

  it("of its own holds when the run never looked at what was there when it began", async () => {
    let attempts = 0;
    const { server, worker } = world({
      activities: {
        executeGraphton: async () => {
          attempts += 1;
          throw new ActivityStop("paused", "A tool call waits for a decision.");
        },
      },
    });
    await worker.ready;
    await server.submit({ id: "aex-1", sessionId: "s" });
    await server.engine.deliver("aex-1", message("m1"));
    await server.engine.start("aex-1");
    await until(isPaused(server), "the rest");
    await rest();
    expect(attempts).toBe(1);
  });

  it("of its own holds when the run has seen all that came", async () => {
    let attempts = 0;
    const { server, worker, run } = world({
      activities: {
        executeGraphton: async (_execution, _threadId, { inbox }) => {
          attempts += 1;
          await server.engine.deliver("aex-1", message("m1"));
          await until(() => inbox.items.length === 1, "the message");
          throw new ActivityStop("paused", "A tool call waits for a decision.");
        },
      },
    });
    await worker.ready;
    await run("aex-1");
    await until(isPaused(server), "the rest");
    await rest();
    expect(attempts).toBe(1);
  });
});

describe("a run that comes to rest", () => {
  it("is cancelled first when both are asked for", async () => {
    const work = gated();
    const { server, worker, run } = world({ activities: work });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    await server.engine.pause("aex-1", "lunch");
    await server.engine.cancel("aex-1", "enough");
    await until(() => server.ends.length === 1, "the end");
    expect(work.contexts.map(stopOf)).toEqual(["cancelled"]);
    expect(work.contexts[0]?.pause.aborted).toBe(true);
    expect(server.ends[0]).toMatchObject({ phase: ExecutionPhase.EXECUTION_CANCELLED, error: "enough" });
  });

  it("ends as cancelled when it rests in spite of the cancel", async () => {
    const gate = Promise.withResolvers<void>();
    const work = resting({ onRest: () => gate.promise });
    const { server, worker, run } = world({ activities: work });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    await server.engine.pause("aex-1", "lunch");
    await server.engine.cancel("aex-1", "enough");
    await until(() => work.contexts[0]?.signal.aborted === true, "the cancel");
    gate.resolve();
    await until(() => server.ends.length === 1, "the end");
    expect(server.ends[0]).toMatchObject({ phase: ExecutionPhase.EXECUTION_CANCELLED, error: "enough" });
    expect(await queueOf(server)).toEqual({ waiting: 0, paused: 0, leased: 0 });
  });

  it("completes when it ended before it could rest", async () => {
    const { server, worker, run } = world({
      activities: {
        executeGraphton: async (_execution, _threadId, { pause }) => {
          await new Promise((resolve) => pause.addEventListener("abort", resolve, { once: true }));
          return create(AgentExecutionStatusSchema, { phase: ExecutionPhase.EXECUTION_COMPLETED });
        },
      },
    });
    await worker.ready;
    await run("aex-1");
    await until(async () => (await server.engine.metrics()).leased === 1, "the run");
    await server.engine.pause("aex-1", "lunch");
    await until(() => server.ends.length === 1, "the end");
    expect(await queueOf(server)).toEqual({ waiting: 0, paused: 0, leased: 0 });
  });

  it("rests also when its runner drains meanwhile, and the drain waits for it", async () => {
    const gate = Promise.withResolvers<void>();
    const work = resting({ onRest: () => gate.promise });
    const { server, worker, run } = world({ activities: work });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    await server.engine.pause("aex-1", "lunch");
    await until(() => work.contexts[0]?.pause.aborted === true, "the pause");
    const drained = worker.drain({ deadlineMs: 60_000 });
    gate.resolve();
    await drained;
    expect(await queueOf(server)).toEqual({ waiting: 0, paused: 1, leased: 0 });
    expect(work.contexts.map(stopOf)).toEqual(["none"]);
  });

  it("is handed back when the drain's deadline comes first, and waits all the same", async () => {
    const clock = createManualClock();
    const work = gated();
    const { server, worker, run } = world({ activities: work, clock, engine: { clock } });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    await server.engine.pause("aex-1", "lunch");
    await until(() => work.contexts[0]?.pause.aborted === true, "the pause");
    const drained = worker.drain({ deadlineMs: 1_000 });
    clock.advance(1_000);
    await drained;
    expect(work.contexts.map(stopOf)).toEqual(["draining"]);
    expect(await queueOf(server)).toEqual({ waiting: 0, paused: 1, leased: 0 });
    expect(await server.queue.find("aex-1")).toMatchObject({ attempt: 0, pauseReason: "lunch" });
  });

  it("says nothing more when its lease is lost meanwhile", async () => {
    const clock = createManualClock();
    const gate = Promise.withResolvers<void>();
    const work = resting({ onRest: () => gate.promise });
    const { server, wire, worker, run } = world({ activities: work, clock, engine: { clock }, maxConcurrency: 1 });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    await server.engine.pause("aex-1", "lunch");
    await until(() => work.contexts[0]?.pause.aborted === true, "the pause");
    await server.queue.complete({ taskId: "aex-1", fence: 1 }, "r1");
    await beat(clock, wire);
    await until(() => work.contexts.map(stopOf)[0] === "lease-lost", "the stop");
    gate.resolve();
    await rest();
    expect(wire.answered("releaseLease")).toBe(0);
    await run("aex-2");
    await until(() => server.ends.length === 1, "the place to be free");
    expect(server.ends[0]?.executionId).toBe("aex-2");
  });
});

describe("an inbox", () => {
  it("fills as items come, each once, also past broken streams", async () => {
    const work = gated();
    const { server, wire, worker, run } = world({ activities: work, engine: { reattachMs: 20_000 } });
    await worker.ready;
    await server.submit({ id: "aex-1", sessionId: "s" });
    await server.engine.deliver("aex-1", message("m1"));
    await server.engine.start("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    const inbox = work.contexts[0]!.inbox;
    const heard: string[] = [];
    inbox.subscribe(() => heard.push(inbox.items.at(-1)?.id ?? ""));
    await server.engine.deliver("aex-1", message("m2"));
    await server.engine.deliver("aex-1", message("m2"));
    await until(() => inbox.items.length === 2, "the second");
    wire.cut();
    await server.engine.deliver("aex-1", message("m3"));
    wire.heal();
    await until(() => inbox.items.length === 3, "the third");
    await run("aex-2");
    await until(() => work.contexts.length === 2, "the other run");
    expect(work.contexts[1]?.inbox.items).toEqual([]);
    expect(inbox.items.map(({ id }) => id)).toEqual(["m1", "m2", "m3"]);
    expect(heard).toEqual(["m2", "m3"]);
    work.open();
  });

  it("gives its items out as they were when they were asked for, and stops calling whom it is told to", async () => {
    const work = gated();
    const { server, worker, run } = world({ activities: work });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    const inbox = work.contexts[0]!.inbox;
    const before = inbox.items;
    let calls = 0;
    const end = inbox.subscribe(() => (calls += 1));
    await server.engine.deliver("aex-1", message("m1"));
    await until(() => calls === 1, "the call");
    end();
    await server.engine.deliver("aex-1", message("m2"));
    await until(() => inbox.items.length === 2, "the second");
    expect(before).toEqual([]);
    expect(calls).toBe(1);
    work.open();
  });

  it("survives a listener that fails, and so do the other runs of its worker", async () => {
    const work = gated();
    const faults: unknown[] = [];
    const quiet = (): void => {};
    const logger = { debug: quiet, info: quiet, warn: quiet, error: (fields: object) => void faults.push(fields) };
    const { server, worker, run } = world({ activities: work, logger });
    await worker.ready;
    await run("aex-1");
    await until(() => work.contexts.length === 1, "the run");
    const inbox = work.contexts[0]!.inbox;
    let calls = 0;
    inbox.subscribe(() => {
      throw new Error("not mine");
    });
    inbox.subscribe(() => (calls += 1));
    await server.engine.deliver("aex-1", message("m1"));
    await until(() => calls === 1, "the second listener");
    expect(faults).toMatchObject([{ taskId: "aex-1", fence: 1 }]);
    await server.engine.cancel("aex-1", "enough");
    await until(() => server.ends.length === 1, "the end");
  });
});
