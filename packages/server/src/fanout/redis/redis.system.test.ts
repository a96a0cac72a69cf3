import { equals } from "@bufbuild/protobuf";
import { AgentExecutionStatusSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import type { Engine } from "@stigmer/engine";
import { connectRedis, wakeChannel } from "@stigmer/engine/redis";
import { Redis } from "ioredis";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { moved, said } from "../../executions/__fixtures__/open-runs.ts";
import {
  addRun,
  followRun,
  type LiveServer,
  openServers,
  type OpenServers,
  patch,
} from "../../executions/__fixtures__/open-servers.ts";
import { type Logger, silentLogger } from "../../logger.ts";
import { createSchema, type Schema } from "../../store/postgres/__fixtures__/schemas.ts";
import { openPostgresStore } from "../../store/postgres/create-store.ts";
import { announceOrders } from "../announce-orders.ts";
import type { Fanout, FanoutState } from "../fanout.ts";
import { openFanout, type RedisFanoutChoice } from "../open-fanout.ts";
import { createOwnRedis, type OwnRedis } from "./__fixtures__/own-redis.ts";
import { createRedisFanout } from "./create-redis-fanout.ts";

// Two servers on one Postgres, with a Redis between them that comes and goes.

const { EXECUTION_COMPLETED } = ExecutionPhase;

let schema: Schema;
let redis: OwnRedis;
let open: OpenServers | undefined;
let lines: string[];
beforeEach(async () => {
  schema = await createSchema();
  redis = await createOwnRedis();
  lines = [];
});
afterEach(async () => {
  await open?.dispose();
  open = undefined;
  redis.goOn();
  await redis.kill();
  await schema.drop();
});

const line = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
const logger: Logger = { ...silentLogger, info: line, warn: line, error: line };

function fanoutOf(password = redis.password): Promise<Fanout> {
  return createRedisFanout(Redis, { host: "127.0.0.1", port: redis.port, password, logger });
}

async function two(): Promise<readonly [LiveServer, LiveServer]> {
  open = await openServers({
    fanouts: [await fanoutOf(), await fanoutOf()],
    openStore: () => openPostgresStore({ url: schema.url, logger: silentLogger }),
    logger,
    pollEveryMs: 50,
  });
  const [a, b] = open.servers;
  if (!a || !b) throw new Error("Two servers were asked for.");
  return [a, b];
}

async function becomes(state: FanoutState, ...servers: readonly LiveServer[]): Promise<void> {
  while (servers.some(({ runs }) => runs.metrics().state !== state)) await sleep(10);
}

async function sameAsStored(server: LiveServer, id: string, follower: ReturnType<typeof followRun>): Promise<void> {
  const status = await server.runs.read(id);
  if (!status || !follower.fold) throw new Error("There is nothing to compare.");
  const without = { revision: 0, audit: undefined };
  const [told, stored] = [
    { ...follower.fold.status, ...without },
    { ...status, ...without },
  ];
  expect(equals(AgentExecutionStatusSchema, told, stored)).toBe(true);
}

describe("while Redis is there", () => {
  beforeEach(() => redis.start());

  it("brings what one server takes to who watches on the other, without a look into the database", async () => {
    const [a, b] = await two();
    await becomes("live", a, b);
    const id = await addRun(a);
    const follower = followRun(b, id);
    await follower.reach(1);
    const reads = (["snapshot", "log", "get"] as const).map((name) => vi.spyOn(b.store.executions, name));
    for (let index = 0; index < 100; index++) await patch(a, id, ...said("m", "x", index));
    await follower.reach(101);
    expect(reads.map((read) => read.mock.calls.length)).toEqual([0, 0, 0]);
    await patch(a, id, ...said("large", "y".repeat(100_000)));
    await follower.reach(102);
    await patch(a, id, ...moved(EXECUTION_COMPLETED));
    await follower.ended;
    await sameAsStored(a, id, follower);
  });

  it("subscribes to what is watched, once, and to nothing else", async () => {
    const [a, b] = await two();
    await becomes("live", a, b);
    const asked = new Redis({ host: "127.0.0.1", port: redis.port, password: redis.password });
    const channels = async (): Promise<unknown> => asked.pubsub("CHANNELS");
    const id = await addRun(a);
    expect(await channels()).toEqual([]);
    const followers = [followRun(b, id), followRun(b, id), followRun(b, id)];
    for (const follower of followers) await follower.reach(1);
    expect(await channels()).toEqual([`stigmer:run:${id}`]);
    expect(await asked.pubsub("NUMSUB", `stigmer:run:${id}`)).toEqual([`stigmer:run:${id}`, 1]);
    for (const follower of followers) follower.stop();
    await Promise.all(followers.map(({ ended }) => ended));
    while ((await asked.pubsub("CHANNELS")).length > 0) await sleep(10);
    asked.disconnect();
  });

  it("brings runs that come and go to who follows their session or their list", async () => {
    const [a, b] = await two();
    await becomes("live", a, b);
    const controller = new AbortController();
    const { signal } = controller;
    const session = b.runs.followSession({ sessionId: "ses-1", afterRevisions: {}, signal })[Symbol.asyncIterator]();
    const list = b.runs.followList({ org: "local", agentId: undefined, newest: 50, signal })[Symbol.asyncIterator]();
    for (const each of [session, list]) expect((await each.next()).value).toEqual({ kind: "caught-up" });
    const id = await addRun(a);
    expect((await session.next()).value).toMatchObject({ kind: "run", record: { id } });
    expect((await list.next()).value).toMatchObject({ kind: "changed", record: { id } });
    await a.store.executions.delete(id);
    for (const each of [session, list]) expect((await each.next()).value).toEqual({ kind: "deleted", executionId: id });
    controller.abort();
    for (const each of [session, list]) await each.return?.();
  });
});

it("wakes the runner that holds a run, and says nothing of why", async () => {
  await redis.start();
  const runner = await connectRedis(
    { host: "127.0.0.1", port: redis.port, password: redis.password },
    { logger, meanwhile: "-" },
  );
  const said = Promise.withResolvers<string>();
  runner.subscribe(wakeChannel("aex-1"), said.resolve);
  await runner.commands.ping();
  const orders: string[] = [];
  const order = (name: string) => async (id: string) => {
    orders.push(`${name} ${id}`);
    return "running" as const;
  };
  const stored: Engine = {
    type: "temporal",
    runnerService: {},
    start: async () => {},
    cancel: async (id) => void (await order("cancel")(id)),
    pause: order("pause"),
    resume: order("resume"),
    deliver: order("deliver"),
    close: async () => {},
  };
  const fanout = await fanoutOf();
  while (fanout.state !== "live") await sleep(10);
  const engine = announceOrders(stored, { wake: (id) => (orders.push(`wake ${id}`), fanout.wake(id)) });
  await engine.cancel("aex-1", "a reason that stays in the store");
  expect(await said.promise).toBe("");
  await engine.pause("aex-1", "-");
  await engine.resume("aex-1");
  expect(orders).toEqual(["cancel", "wake", "pause", "wake", "resume", "wake"].map((name) => `${name} aex-1`));
  await fanout.close();
  await runner.close();
});

describe("when Redis goes", () => {
  beforeEach(() => redis.start());

  it("loses nothing and tells nothing twice, and is live again when Redis is back", async () => {
    const [a, b] = await two();
    await becomes("live", a, b);
    const id = await addRun(a);
    const ending = await addRun(a);
    const follower = followRun(b, id);
    const atEnd = followRun(b, ending);
    await Promise.all([follower.reach(1), atEnd.reach(1)]);
    let written = 0;
    const write = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index++) await patch(a, id, ...said("m", "é", 2 * written++));
    };
    for (let round = 0; round < 2; round++) {
      await write(20);
      await redis.kill();
      await write(20);
      await becomes("polling", a, b);
      await write(20);
      await follower.reach(written + 1);
      expect(b.runs.metrics().pollsTotal).toBeGreaterThan(0);
      expect(a.runs.metrics().droppedTotal).toBeGreaterThan(0);
      if (round === 0) {
        // It ends while nobody hears of it.
        await patch(a, ending, ...moved(EXECUTION_COMPLETED));
        await atEnd.ended;
      }
      await redis.start();
      await write(20);
      await becomes("live", a, b);
      await follower.reach(written + 1);
    }
    const log = vi.spyOn(b.store.executions, "log");
    await write(20);
    await patch(a, id, ...moved(EXECUTION_COMPLETED));
    await follower.ended;
    expect(log).not.toHaveBeenCalled();
    expect(follower.revision).toBe(written + 2);
    await sameAsStored(a, id, follower);
    for (const words of ["Redis is away", "Redis is back"]) {
      // Twice gone, by two servers.
      expect(lines.filter((said) => said.startsWith(words))).toHaveLength(4);
    }
    expect(lines.join("\n")).not.toContain(redis.password);
  });

  it("notices a Redis that holds its connections and answers nothing", async () => {
    const [a, b] = await two();
    await becomes("live", a, b);
    const id = await addRun(a);
    const follower = followRun(b, id);
    await follower.reach(1);
    redis.stall();
    await patch(a, id, ...said("m", "a"));
    await follower.reach(2);
    await becomes("polling", a, b);
    await patch(a, id, ...said("m", "b", 1));
    await follower.reach(3);
    redis.goOn();
    await becomes("live", a, b);
    await patch(a, id, ...moved(EXECUTION_COMPLETED));
    await follower.ended;
    await sameAsStored(a, id, follower);
  });
});

describe("when Redis is not there", () => {
  it("starts, works, and is live when Redis comes", async () => {
    const [a, b] = await two();
    const id = await addRun(a);
    const follower = followRun(b, id);
    await follower.reach(1);
    await patch(a, id, ...said("m", "a"));
    await follower.reach(2);
    expect(b.runs.metrics()).toMatchObject({ state: "polling", subscriptions: 1 });
    expect(lines.filter((each) => each.startsWith("Redis is away"))).toHaveLength(2);
    await redis.start();
    await becomes("live", a, b);
    await patch(a, id, ...moved(EXECUTION_COMPLETED));
    await follower.ended;
    await sameAsStored(a, id, follower);
  });

  it("works with a Redis that refuses the password, and says so without it", async () => {
    await redis.start();
    const password = "not-the-password-of-this-redis";
    open = await openServers({
      fanouts: [await fanoutOf(password)],
      openStore: () => openPostgresStore({ url: schema.url, logger: silentLogger }),
    });
    const [server] = open.servers;
    if (!server) throw new Error("A server was asked for.");
    while (lines.length === 0) await sleep(10);
    expect(lines[0]).toContain("WRONGPASS");
    expect(lines.join("\n")).not.toContain(password);
    const id = await addRun(server);
    expect(await patch(server, id, ...said("m", "a"))).toBe(2);
    expect(server.runs.metrics().state).toBe("polling");
  });
});

/**
 * Hands a client's first words to Redis, closes that direction, and hands back all that Redis says to it in one piece: its
 * certificate, and its alert that the connection ended too soon.
 */
async function openHalfClosing(port: number): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = createServer({ allowHalfOpen: true }, (client) => {
    client.on("error", () => {});
    client.once("data", (hello) => {
      const upstream = connect({ port, host: "127.0.0.1" });
      upstream.end(hello);
      buffer(upstream).then(
        (answer) => client.end(answer),
        () => client.destroy(),
      );
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => void (await promisify(server.close.bind(server))()),
  };
}

describe("a server that starts", () => {
  const choice = (changes: Partial<RedisFanoutChoice> = {}): RedisFanoutChoice => ({
    type: "redis",
    host: "127.0.0.1",
    port: redis.port,
    password: redis.password,
    ...changes,
  });

  async function refusal(changes: Partial<RedisFanoutChoice> = {}): Promise<string> {
    const error: unknown = await openFanout(choice(changes), logger).then(
      async (fanout) => fanout.close(),
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: "fanout-unavailable" });
    const { message } = error as Error;
    expect(message).toMatch(/^Failed to connect to Redis: .+$/);
    for (const text of [message, ...lines]) expect(text).not.toContain(redis.password);
    return message;
  }

  it("does not when Redis is not there, or stops answering", async () => {
    expect(await refusal()).toMatch(/127\.0\.0\.1:\d+: .*ECONNREFUSED.*; check REDIS_HOST, REDIS_PORT and REDIS_TLS$/);
    await redis.start();
    redis.stall();
    expect(await refusal()).toMatch(/127\.0\.0\.1:\d+: .*; check REDIS_HOST/);
  });

  it("does not with a wrong password, or none, and says which", async () => {
    await redis.start();
    expect(await refusal({ password: "wrong-wrong" })).toMatch(/refuses this username and password \(WRONGPASS\)/);
    expect(lines.join("\n")).not.toContain("wrong-wrong");
    expect(await refusal({ username: "nobody" })).toMatch(/refuses this username and password \(WRONGPASS\)/);
    expect(await refusal({ password: undefined })).toMatch(/asks for a password; set REDIS_PASSWORD$/);
  });

  it("is live as a user that may do no more than it needs", async () => {
    await redis.start();
    const fanout = await openFanout(choice({ username: redis.username }), logger);
    expect(fanout.state).toBe("live");
    const heard = Promise.withResolvers<void>();
    const other = await openFanout(choice({ username: redis.username }), logger);
    await other.subscribe("run:aex-1", () => heard.resolve()).ready;
    const notice = {
      kind: "changed",
      executionId: "aex-1",
      org: "acme",
      sessionId: "ses-1",
      agentId: "agt-1",
    } as const;
    fanout.publish({ ...notice, revision: 1, summaryChanged: false, amended: false });
    await heard.promise;
    await fanout.close();
    await other.close();
  });

  it("speaks TLS to a Redis whose authority it knows, and to no other", async () => {
    const plain = redis;
    redis = await createOwnRedis({ tls: true });
    try {
      await redis.start();
      const { caFile } = redis;
      expect(await refusal({ tls: {} })).toMatch(/certificate that is not to be trusted .*REDIS_CA_FILE$/);
      expect(await refusal({ tls: { caFile }, host: "localhost" })).toMatch(/certificate of another host/);
      expect(await refusal({ tls: { caFile: "/nowhere/ca.pem" } })).toMatch(
        /REDIS_CA_FILE=\/nowhere\/ca\.pem can't be read/,
      );
      expect(await refusal()).toMatch(/check REDIS_HOST, REDIS_PORT and REDIS_TLS$/);
      const fanout = await openFanout(choice({ tls: { caFile } }), logger);
      expect(fanout.state).toBe("live");
      await fanout.close();
    } finally {
      await redis.kill();
      await redis.dispose();
      redis = plain;
    }
    await redis.start();
    // One without TLS waits for the end of what it takes for a command.
    expect(await refusal({ tls: {} })).toMatch(/check REDIS_HOST, REDIS_PORT and REDIS_TLS$/);
  });

  it("says why it trusts no certificate also when Redis takes offence in the same moment", async () => {
    const plain = redis;
    redis = await createOwnRedis({ tls: true });
    const before = await openHalfClosing(redis.port);
    try {
      await redis.start();
      expect(await refusal({ tls: {}, port: before.port })).toMatch(/certificate that is not to be trusted /);
      // An error that nobody listened to would have come by now, and ended the process.
      await sleep(50);
    } finally {
      await before.close();
      await redis.kill();
      await redis.dispose();
      redis = plain;
    }
  });
});
