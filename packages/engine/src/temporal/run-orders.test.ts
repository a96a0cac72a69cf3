import { expect, test } from "vitest";
import { createManualClock, type ManualClock } from "../embedded/__fixtures__/manual-clock.ts";
import { rest } from "../embedded/__fixtures__/rest.ts";
import { quiet } from "../embedded/__fixtures__/server.ts";
import type { ConnectionWatch } from "./connection-watch.ts";
import { createRunOrders, type RunOrders, type RunOrdersOptions } from "./run-orders.ts";
import type { WorkflowOrder } from "./workflows.ts";

const away = Object.assign(new Error("14 UNAVAILABLE"), { code: 14 });

interface World {
  readonly orders: RunOrders;
  readonly clock: ManualClock;
  readonly told: string[];
  /** Temporal answers calls only while this is false. */
  isAway: boolean;
  /** What the workflow says when it is asked. */
  rests: boolean;
  readonly lost: unknown[];
  readonly over: AbortController;
}

function createWorld(options: Partial<RunOrdersOptions> = {}): World {
  const clock = createManualClock();
  const over = new AbortController();
  const world = { told: [] as string[], lost: [] as unknown[], isAway: false, rests: false, clock, over };
  const watch: ConnectionWatch = {
    get isAway() {
      return world.isAway;
    },
    lost: (error) => void world.lost.push(error),
    whenBack: async () => {},
    close: () => {},
  };
  const inWords = (order: WorkflowOrder): string => ("reason" in order ? `${order.kind} ${order.reason}` : order.kind);
  const orders = createRunOrders({
    taskId: "aex-1",
    cancelReason: undefined,
    pauseReason: undefined,
    recovered: false,
    started: Promise.resolve(),
    over: over.signal,
    workflows: {
      tell: async (_taskId, order) => {
        if (world.isAway) throw away;
        world.told.push(inWords(order));
        if (order.kind === "resume") world.rests = false;
        return true;
      },
      rests: async () => {
        if (world.isAway) throw away;
        return world.rests;
      },
    },
    watch,
    logger: quiet,
    clock,
    ...options,
  });
  return Object.assign(world, { orders });
}

async function pass({ clock }: World, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    clock.advance(100);
    await rest();
  }
}

test("a wish is sent when the workflow was started, and not before", async () => {
  const started = Promise.withResolvers<void>();
  const world = createWorld({ started: started.promise });
  world.orders.cancel("enough");
  await rest();
  expect(world.told).toEqual([]);
  started.resolve();
  await rest();
  expect(world.told).toEqual(["cancel enough"]);
});

test("only the present wish is sent, when Temporal was away while wishes changed", async () => {
  const world = createWorld();
  world.isAway = true;
  world.orders.pause("lunch");
  await rest();
  world.orders.resume();
  await rest();
  world.orders.pause("coffee");
  await pass(world, 5_000);
  expect([world.told, world.lost.length > 0]).toEqual([[], true]);
  world.isAway = false;
  await pass(world, 3_000);
  expect(world.told).toEqual(["pause coffee"]);
});

test("the first reason stays", async () => {
  const world = createWorld();
  world.orders.pause("first");
  world.orders.pause("second");
  world.orders.cancel("one");
  world.orders.cancel("two");
  await rest();
  expect(world.told).toEqual(["cancel one", "pause first"]);
});

test("after a restart a stored pause is sent again, and a resume only to a run that still rests", async () => {
  const paused = createWorld({ recovered: true, pauseReason: "lunch" });
  const resting = createWorld({ recovered: true });
  resting.rests = true;
  const running = createWorld({ recovered: true });
  for (const world of [paused, resting, running]) await pass(world, 200);
  expect([paused.told, resting.told, running.told]).toEqual([["pause lunch"], ["resume"], []]);
});

test("a resume that came before the workflow knew of the rest is sent again", async () => {
  const world = createWorld();
  world.orders.rested("look at this");
  world.orders.resume();
  await rest();
  expect(world.told).toEqual(["resume"]);
  world.rests = true;
  await pass(world, 1_000);
  expect(world.told).toEqual(["resume", "resume"]);
});

test("a resume of what does not rest tells the workflow nothing, which would take it for one to come", async () => {
  const world = createWorld();
  world.orders.resume();
  await pass(world, 60_000);
  expect(world.told).toEqual([]);
});

test("a run that has a reason to go on by the time it rests, is told to", async () => {
  const world = createWorld();
  world.orders.wakeSoon();
  await pass(world, 100);
  expect(world.told).toEqual([]);
  world.rests = true;
  await pass(world, 300);
  expect(world.told).toEqual(["resume"]);
});

test("a resume that comes while such a rest is still on its way takes nothing from that", async () => {
  const world = createWorld();
  world.orders.wakeSoon();
  await pass(world, 50);
  world.orders.resume();
  await pass(world, 20);
  await pass(world, 20);
  expect(world.told).toEqual([]);
  world.rests = true;
  await pass(world, 300);
  expect(world.told).toEqual(["resume"]);
});

test("nothing is sent to a run that is over", async () => {
  const world = createWorld();
  world.isAway = true;
  world.orders.cancel("enough");
  await rest();
  world.over.abort();
  world.isAway = false;
  await pass(world, 10_000);
  expect(world.told).toEqual([]);
});

const nothing = { cancelReason: undefined, pauseReason: undefined };

test("what another server stored is told from here, once", async () => {
  const world = createWorld();
  world.orders.sync({ ...nothing, orders: 1, pauseReason: "lunch" });
  world.orders.sync({ ...nothing, orders: 1, pauseReason: "lunch" });
  await pass(world, 1_000);
  world.orders.sync({ ...nothing, orders: 2 });
  await pass(world, 1_000);
  world.orders.sync({ ...nothing, orders: 3, cancelReason: "enough" });
  await pass(world, 60_000);
  expect(world.told).toEqual(["pause lunch", "resume", "cancel enough"]);
});

test("what this server stored itself is not taken for another's", async () => {
  const world = createWorld({ orders: 7 });
  world.rests = true;
  world.orders.pause("lunch");
  world.orders.resume();
  await pass(world, 100);
  world.rests = true;
  world.orders.sync({ ...nothing, orders: 9 });
  await pass(world, 500);
  expect(world.told).toEqual(["resume"]);
});

test("a pause and its end that both were missed wake a run whose rest is heard of late", async () => {
  const world = createWorld();
  world.orders.sync({ ...nothing, orders: 2 });
  await pass(world, 200);
  expect(world.told).toEqual([]);
  world.rests = true;
  await pass(world, 500);
  expect(world.told).toEqual(["resume"]);
});
