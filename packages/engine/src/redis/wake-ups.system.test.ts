import { create } from "@bufbuild/protobuf";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { InboxItemSchema } from "@stigmer/protos/runner/v1";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { until } from "../conformance/until.ts";
import type { ActivityContext } from "../contract.ts";
import { quiet } from "../embedded/__fixtures__/server.ts";
import { type DevServer, startDevServer } from "../temporal/__fixtures__/dev-server.ts";
import {
  aborted,
  activitiesOf,
  startTemporalSystem,
  type TemporalSystem,
} from "../temporal/__fixtures__/temporal-system.ts";
import { connectRedis, type RedisConnection } from "./connect.ts";
import { createWakeUps, wakeChannel } from "./wake-ups.ts";

// A runner that would ask its server once in an hour, on a real Temporal and a real Redis.

const HOUR_MS = 3_600_000;

let dev: DevServer;
beforeAll(async () => {
  dev = await startDevServer();
});
afterAll(() => dev?.dispose());

let system: TemporalSystem;
let redis: RedisConnection;
let context: ActivityContext | undefined;
beforeEach(async () => {
  const url = process.env["STIGMER_TEST_REDIS_URL"];
  if (!url) throw new Error("STIGMER_TEST_REDIS_URL is not set: run `pnpm test:system`, or name a Redis of your own");
  const { hostname: host, port, password } = new URL(url);
  redis = await connectRedis({ host, port: Number(port), password }, { logger: quiet, meanwhile: "-" });
  // No heartbeat brings a cancel within the test's time.
  system = await startTemporalSystem(dev, { heartbeatTimeoutMs: HOUR_MS });
  context = undefined;
});
afterEach(async () => {
  await system?.dispose();
  await redis?.close();
});

async function startRun(id: string, wakeUps: ReturnType<typeof createWakeUps> | undefined): Promise<ActivityContext> {
  const activities = activitiesOf(async (_execution, given) => {
    context = given;
    throw await aborted(given.signal);
  });
  await system.startRunner({ activities, checkMs: HOUR_MS, wakeUps });
  await system.submit({ id, sessionId: `ses-${id}` });
  await system.engine.start(id);
  await until(() => context !== undefined, "the run begins");
  return context as ActivityContext;
}

const publish = (id: string): Promise<number> => redis.commands.publish(wakeChannel(id), "");

it("asks the server when something was stored for its run, and gets the message and the cancel", async () => {
  const { inbox, signal } = await startRun("aex-woken", createWakeUps(redis));
  const item = create(InboxItemSchema, { id: "m1", item: { case: "message", value: { text: "hello" } } });
  await system.engine.deliver("aex-woken", item);
  expect(await publish("aex-woken")).toBe(1);
  await until(() => inbox.items.length > 0, "the message arrives");
  expect(inbox.items.map(({ id }) => id)).toEqual(["m1"]);
  expect(signal.aborted).toBe(false);
  await system.engine.cancel("aex-woken", "enough");
  await publish("aex-woken");
  await until(() => signal.aborted, "the cancel arrives");
  expect(signal.reason).toMatchObject({ kind: "cancelled", message: "enough" });
  await until(() => system.ends.length > 0, "the end is stored");
  expect(system.ends).toMatchObject([{ executionId: "aex-woken", phase: ExecutionPhase.EXECUTION_CANCELLED }]);
  // Nobody listens for a run that has ended.
  await until(async () => (await publish("aex-woken")) === 0, "nobody listens");
});

it("asks once Redis is back, for nobody knows what was said meanwhile", async () => {
  const { inbox } = await startRun("aex-missed", createWakeUps(redis));
  const item = create(InboxItemSchema, { id: "m1", item: { case: "message", value: { text: "hello" } } });
  await system.engine.deliver("aex-missed", item);
  await redis.commands.call("CLIENT", "KILL", "TYPE", "pubsub");
  await until(() => inbox.items.length > 0, "the message arrives");
  expect(inbox.items.map(({ id }) => id)).toEqual(["m1"]);
});
