import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { silentLogger } from "../logger.ts";
import { given, openTestServer, type TestServer } from "../services/__fixtures__/open-test-server.ts";
import { createRetention } from "./create-retention.ts";
import { DAY_MS, type Swept, sweep } from "./sweep.ts";

const DAYS = 30;

let server: TestServer;
let now: number;
let agentId: string;
let instanceId: string;
beforeEach(async () => {
  now = Date.parse("2026-01-01T00:00:00Z");
  server = await openTestServer({ clock: () => now });
  const agent = await server.agents.create(given.agent("a"));
  agentId = agent.metadata?.id ?? "";
  instanceId = agent.status?.defaultInstanceId ?? "";
});
afterEach(() => server.dispose());

const sweepNow = (signal = new AbortController().signal): Promise<Swept> =>
  sweep({
    store: server.store,
    engine: { start: async (id) => void server.asked.push(`start ${id}`) },
    taskQueue: "q",
    days: DAYS,
    logger: silentLogger,
    clock: () => now,
    signal,
    batch: 4,
  });

async function session(name: string): Promise<string> {
  return (await server.sessions.create(given.session(name, instanceId))).metadata?.id ?? "";
}

async function run(sessionId: string): Promise<string> {
  return (await server.executions.create(given.execution({ sessionId }))).metadata?.id ?? "";
}

async function endedRun(sessionId: string): Promise<string> {
  const id = await run(sessionId);
  await server.runs.fail(id, "no");
  await server.queue.end(id);
  return id;
}

const exists = async (id: string): Promise<boolean> => (await server.store.executions.get(id)) !== undefined;
const hasSession = async (id: string): Promise<boolean> =>
  (await server.store.resources.get("Session", id)) !== undefined;

it("deletes a run so many days after its end, its session with the last one, and what that left elsewhere", async () => {
  const id = await session("s");
  const first = await endedRun(id);
  now += 10 * DAY_MS;
  const second = await endedRun(id);
  now += 20 * DAY_MS;
  expect(await sweepNow()).toEqual({ runs: 0, sessions: 0 });
  now += 1;
  expect(await sweepNow()).toEqual({ runs: 1, sessions: 0 });
  expect([await exists(first), await exists(second), await hasSession(id)]).toEqual([false, true, true]);
  now += 10 * DAY_MS;
  expect(await sweepNow()).toEqual({ runs: 1, sessions: 1 });
  expect([await exists(second), await hasSession(id)]).toEqual([false, false]);
  expect(server.asked.at(-1)).toBe(`start cleanup-${id}`);
  expect(await server.store.tasks.state(`cleanup-${id}`)).toMatchObject({ state: "waiting" });
  // What was done about it is forgotten in its turn.
  await server.queue.end(`cleanup-${id}`);
  now += 31 * DAY_MS;
  await sweepNow();
  expect(await server.store.tasks.state(`cleanup-${id}`)).toBeUndefined();
  expect(await server.store.resources.count({ kind: "Agent" })).toBe(1);
});

it("counts from the end of a run, however long ago it began, and leaves those that have not ended", async () => {
  const [waiting, long] = [await session("waiting"), await session("long")];
  const [open, late] = [await run(waiting), await run(long)];
  now += 365 * DAY_MS;
  await server.runs.fail(late, "no");
  now += 29 * DAY_MS;
  expect(await sweepNow()).toEqual({ runs: 0, sessions: 0 });
  now += 2 * DAY_MS;
  expect(await sweepNow()).toEqual({ runs: 1, sessions: 1 });
  expect([await exists(open), await exists(late), await hasSession(waiting), await hasSession(long)]).toEqual([
    true,
    false,
    true,
    false,
  ]);
});

it("leaves a session that somebody has made for later, or is using", async () => {
  const [idle, changed] = [await session("idle"), await session("changed")];
  now += 40 * DAY_MS;
  const { metadata, spec } = await server.sessions.get({ value: changed });
  await server.sessions.update({ ...given.session("changed", instanceId), metadata, spec });
  const used = await session("used");
  await run(used);
  expect(await sweepNow()).toEqual({ runs: 0, sessions: 1 });
  expect([await hasSession(idle), await hasSession(changed), await hasSession(used)]).toEqual([false, true, true]);
});

it("goes through more than one batch, tells who watches, and may be done by several at once", async () => {
  const id = await session("s");
  for (let count = 0; count < 10; count++) await endedRun(id);
  const stop = new AbortController();
  const deleted: string[] = [];
  const watching = (async () => {
    for await (const { event } of server.executions.watchList({}, { signal: stop.signal })) {
      if (event.case === "deleted") deleted.push(event.value);
    }
  })().catch(() => {});
  now += 31 * DAY_MS;
  const swept = await Promise.all([sweepNow(), sweepNow(), sweepNow()]);
  expect(swept.reduce((sum, { runs }) => sum + runs, 0)).toBe(10);
  expect(swept.reduce((sum, { sessions }) => sum + sessions, 0)).toBe(1);
  expect(await server.store.executions.count({ agentId })).toBe(0);
  while (deleted.length < 10) await sleep(5);
  stop.abort();
  await watching;
  expect(new Set(deleted).size).toBe(10);
});

it("ends between two steps when it is told to", async () => {
  await endedRun(await session("s"));
  now += 31 * DAY_MS;
  expect(await sweepNow(AbortSignal.abort())).toEqual({ runs: 0, sessions: 0 });
});

it("is done by one of several servers at a time, again after a while, and goes on after a failure", async () => {
  await endedRun(await session("s"));
  now += 31 * DAY_MS;
  const logged: string[] = [];
  const logger = { ...silentLogger, info: (_: object, message: string) => void logged.push(message) };
  const failing = { on: true };
  const retention = { ...server.store.retention };
  retention.finished = async (query) => {
    if (failing.on) throw new Error("the database is away");
    return server.store.retention.finished(query);
  };
  const warned: string[] = [];
  const options = {
    store: { ...server.store, retention },
    engine: { start: async () => {} },
    taskQueue: "q",
    days: DAYS,
    auditDays: 90,
    clock: () => now,
    askEveryMs: 1,
    logger: { ...logger, warn: (_: object, message: string) => void warned.push(message) },
  };
  const both = [createRetention(options), createRetention(options)];
  while (warned.length === 0) await sleep(1);
  failing.on = false;
  now += 3_600_000;
  while (both.every((each) => each.metrics().sessionsDeletedTotal === 0)) await sleep(1);
  await Promise.all(both.map((each) => each.close()));
  expect(warned).toHaveLength(1);
  expect(logged).toEqual(["deleted what is older than it is kept"]);
  const totals = both.map((each) => each.metrics());
  expect(totals).toContainEqual({ runsDeletedTotal: 0, sessionsDeletedTotal: 0, auditEntriesDeletedTotal: 0 });
  expect(totals).toContainEqual({ runsDeletedTotal: 1, sessionsDeletedTotal: 1, auditEntriesDeletedTotal: 0 });
});

it("keeps the audit log for a time of its own, also where all else is kept for ever", async () => {
  const record = {
    principalId: "anna",
    org: "acme",
    role: "owner",
    method: "Agent/create",
    resourceKind: "Agent",
    resourceId: "",
    code: "OK",
    clientAddress: "",
    traceId: "",
  };
  const run = await endedRun(await session("s"));
  for (let count = 0; count < 230; count++) {
    await server.store.audit.append({ ...record, id: `e-${count}`, createdAt: now + count });
  }
  now += 7 * DAY_MS + 225;
  const retention = createRetention({
    store: server.store,
    engine: { start: async () => {} },
    taskQueue: "q",
    days: undefined,
    auditDays: 7,
    clock: () => now,
    logger: silentLogger,
  });
  while (retention.metrics().auditEntriesDeletedTotal === 0) await sleep(1);
  await retention.close();
  expect(retention.metrics()).toMatchObject({ auditEntriesDeletedTotal: 225, runsDeletedTotal: 0 });
  const left = await server.store.audit.list({}, { limit: 9 });
  expect(left.map(({ id }) => id)).toEqual(["e-229", "e-228", "e-227", "e-226", "e-225"]);
  expect(await exists(run)).toBe(true);
});
