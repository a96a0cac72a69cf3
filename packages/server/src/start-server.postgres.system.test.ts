import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController, AgentQueryController } from "@stigmer/protos/agent/v1";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openStore } from "./open-store.ts";
import { silentLogger } from "./logger.ts";
import { type RunningServer, startServer, type StartServerOptions } from "./start-server.ts";
import { createOutage } from "./store/postgres/__fixtures__/outage.ts";
import { createSchema, type Schema } from "./store/postgres/__fixtures__/schemas.ts";
import type { Store } from "./store/store.ts";

let schema: Schema;
let homes: string[];
let opened: { close(): Promise<void> }[];
beforeEach(async () => {
  schema = await createSchema();
  homes = [];
  opened = [];
});
afterEach(async () => {
  for (const each of opened.toReversed()) await each.close();
  await schema.drop();
  for (const home of homes) await rm(home, { recursive: true });
});

async function start(options: Partial<StartServerOptions> = {}): Promise<RunningServer> {
  const home = await mkdtemp(join(tmpdir(), "stigmer-postgres-"));
  homes.push(home);
  const store = { type: "postgres", url: schema.url } as const;
  const server = await startServer({ home, port: 0, store, encryptionKey: Buffer.alloc(32, 7), ...options });
  opened.push(server);
  return server;
}

/** A store as a server has it. */
async function hold(alone: boolean): Promise<Store> {
  const needs = { dataDir: "/none", logger: silentLogger, alone, onLost: () => {} };
  const store = await openStore({ type: "postgres", url: schema.url }, needs);
  opened.push(store);
  return store;
}

function clientOf(server: RunningServer) {
  const withKey: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${server.apiKey}`);
    return next(request);
  };
  const transport = createGrpcTransport({ baseUrl: `http://${server.endpoint}`, interceptors: [withKey] });
  return { ...createClient(AgentCommandController, transport), ...createClient(AgentQueryController, transport) };
}

const agent = (name: string) => ({
  apiVersion: "agentic.stigmer.ai/v1",
  kind: "Agent",
  metadata: { name },
  spec: { instructions: "Greet whoever writes to you." },
});

it("serves what an earlier server of the same database stored, from another directory", async () => {
  const first = await start();
  const { metadata } = await clientOf(first).create(agent("Greeter"));
  expect(await first.metrics()).toMatchObject({ waiting: 0, paused: 0 });
  await first.close();
  expect(await first.closed).toBeUndefined();
  const second = await start();
  expect((await clientOf(second).get({ value: metadata?.id ?? "" })).metadata?.slug).toBe("greeter");
});

it("refuses a server with another encryption key, and says where that one is from", async () => {
  await (await start()).close();
  const refused = (place: RegExp): object => ({ code: "wrong-key", message: expect.stringMatching(place) as string });
  await expect(start({ encryptionKey: Buffer.alloc(32, 8) })).rejects.toMatchObject(
    refused(/ in STIGMER_ENCRYPTION_KEY: /),
  );
  // A directory has a key of its own unless one is given.
  await expect(start({ encryptionKey: undefined })).rejects.toMatchObject(
    refused(/ in \/\S+\/data\/encryption\.key: /),
  );
  await start();
});

it("refuses a second server whose engine would take the first one's runs for lost, as long as the first lives", async () => {
  const first = await start();
  const refused = start();
  await expect(refused).rejects.toMatchObject({
    code: "already-running",
    message: expect.stringMatching(
      /^Another Stigmer server uses the database 127\.0\.0\.1:\d+\/postgres, and this one/,
    ) as string,
  });
  await first.close();
  await start();
});

it("lets those share a database that say so, and nobody else beside them", async () => {
  await hold(false);
  const other = await hold(false);
  expect(await other.queue.counts()).toMatchObject({ waiting: 0 });
  await expect(hold(true)).rejects.toMatchObject({ code: "already-running" });
});

it("answers UNAVAILABLE while Postgres is away, and goes on when it is back, with the runs still its own", async () => {
  const outage = await createOutage(schema.url);
  opened.push(outage);
  const regained = Promise.withResolvers<void>();
  const server = await start({
    store: { type: "postgres", url: outage.url },
    logger: { ...silentLogger, info: (_, message) => void (/runs again/.test(message) && regained.resolve()) },
  });
  const agents = clientOf(server);
  const { metadata } = await agents.create(agent("Greeter"));
  await outage.begin();
  const id = { value: metadata?.id ?? "" };
  await expect(agents.get(id)).rejects.toMatchObject({ code: Code.Unavailable });
  await expect(agents.create(agent("Other"))).rejects.toMatchObject({ code: Code.Unavailable });
  await outage.end();
  expect((await agents.get(id)).metadata?.name).toBe("Greeter");
  await agents.create(agent("Other"));
  await regained.promise;
  await expect(hold(true)).rejects.toMatchObject({ code: "already-running" });
});

it("takes the runs again when nothing was heard of Postgres for a while, though no connection broke", async () => {
  const outage = await createOutage(schema.url);
  opened.push(outage);
  const [silent, regained] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const server = await start({
    store: { type: "postgres", url: outage.url },
    logger: {
      ...silentLogger,
      warn: (_, message) => void (/keeps this database's runs was lost/.test(message) && silent.resolve()),
      info: (_, message) => void (/runs again/.test(message) && regained.resolve()),
    },
  });
  outage.freeze();
  await silent.promise;
  outage.thaw();
  await regained.promise;
  await clientOf(server).create(agent("Greeter"));
});

it("closes itself when another server took the database while it was cut off", async () => {
  const outage = await createOutage(schema.url);
  opened.push(outage);
  const server = await start({ store: { type: "postgres", url: outage.url } });
  await outage.begin();
  const successor = await start();
  await outage.end();
  expect(await server.closed).toMatch(/^Another Stigmer server has taken this one's database over/);
  await expect(fetch(`http://${server.endpoint}`)).rejects.toThrow("fetch failed");
  await clientOf(successor).create(agent("Greeter"));
});
