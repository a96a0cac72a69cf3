import { Code } from "@connectrpc/connect";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createInProcessFanout } from "../fanout/in-process.ts";
import { moved, said } from "./__fixtures__/open-runs.ts";
import {
  addRun,
  type LiveServer,
  type NewRun,
  openServers,
  type OpenServers,
  patch,
} from "./__fixtures__/open-servers.ts";
import type { FollowListOptions } from "./follow-list.ts";

const { EXECUTION_COMPLETED, EXECUTION_IN_PROGRESS, EXECUTION_PENDING } = ExecutionPhase;
const NEVER = 3_600_000;

let open: OpenServers | undefined;
afterEach(async () => {
  await open?.dispose();
  open = undefined;
});

async function one(): Promise<LiveServer> {
  open = await openServers({ fanouts: [createInProcessFanout()] });
  return serverAt(0);
}

function serverAt(index: number): LiveServer {
  const server = open?.servers[index];
  if (!server) throw new Error("There is no such server.");
  return server;
}

interface Told {
  next(): Promise<string>;
  until(last: string): Promise<string[]>;
  stop(): Promise<void>;
}

/** What a follower is told, in short: `<id> <phase>`, `deleted <id>`, `caught-up`. */
function follow({ runs }: LiveServer, options: Partial<FollowListOptions> = {}): Told {
  const controller = new AbortController();
  const list = { org: "local", agentId: undefined, newest: 50, ...options, signal: controller.signal };
  const events = runs.followList(list)[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { done, value } = await events.next();
    if (done) return "end";
    if (value.kind === "changed") return `${value.record.id} ${value.record.phase}`;
    return value.kind === "deleted" ? `deleted ${value.executionId}` : value.kind;
  };
  return {
    next,
    until: async (last) => {
      const told: string[] = [];
      do told.push(await next());
      while (told.at(-1) !== last && told.at(-1) !== "end");
      return told;
    },
    stop: async () => {
      controller.abort();
      await events.return?.();
    },
  };
}

async function addEnded(server: LiveServer, run: NewRun = {}): Promise<string> {
  const id = await addRun(server, run);
  await patch(server, id, ...moved(EXECUTION_COMPLETED));
  return id;
}

describe("following a list", () => {
  it("begins with the newest and those under way, then tells what changes in what it shows", async () => {
    const server = await one();
    const running = await addRun(server);
    await addEnded(server);
    const [third, second, first] = [await addEnded(server), await addEnded(server), await addEnded(server)];
    const told = follow(server, { newest: 3 });
    expect(await told.until("caught-up")).toEqual([
      `${first} ${EXECUTION_COMPLETED}`,
      `${second} ${EXECUTION_COMPLETED}`,
      `${third} ${EXECUTION_COMPLETED}`,
      `${running} ${EXECUTION_PENDING}`,
      "caught-up",
    ]);
    await patch(server, running, ...said("m", "not shown"));
    await patch(server, running, ...moved(EXECUTION_IN_PROGRESS, { startedAt: "t" }));
    expect(await told.next()).toBe(`${running} ${EXECUTION_IN_PROGRESS}`);
    const created = await addRun(server);
    expect(await told.next()).toBe(`${created} ${EXECUTION_PENDING}`);
    await server.store.executions.delete(second);
    expect(await told.next()).toBe(`deleted ${second}`);
    await told.stop();
    expect(server.runs.metrics().subscriptions).toBe(0);
  });

  it("is of one organization, or of all, or of one agent", async () => {
    const server = await one();
    const all = follow(server, { org: undefined });
    const local = follow(server);
    const ofAgent = follow(server, { org: undefined, agentId: "agt-2" });
    for (const told of [all, local, ofAgent]) expect(await told.next()).toBe("caught-up");
    const theirs = await addRun(server, { org: "other" });
    const ours = await addRun(server, { agentId: "agt-2" });
    expect(await all.until(`${ours} ${EXECUTION_PENDING}`)).toEqual([
      `${theirs} ${EXECUTION_PENDING}`,
      `${ours} ${EXECUTION_PENDING}`,
    ]);
    expect(await local.next()).toBe(`${ours} ${EXECUTION_PENDING}`);
    expect(await ofAgent.next()).toBe(`${ours} ${EXECUTION_PENDING}`);
    for (const told of [all, local, ofAgent]) await told.stop();
  });

  it("makes one of many changes for who is slow, and reads a run once for all", async () => {
    const server = await one();
    const id = await addRun(server);
    const followers = Array.from({ length: 20 }, () => follow(server));
    for (const told of followers) await told.until("caught-up");
    const reads = vi.spyOn(server.store.executions, "get");
    for (let index = 0; index < 50; index++) {
      await patch(server, id, ...moved(EXECUTION_IN_PROGRESS, { error: `e${index}` }));
    }
    await patch(server, id, ...moved(EXECUTION_COMPLETED));
    const next = await Promise.all(followers.map((told) => told.next()));
    expect(new Set(next)).toEqual(new Set([`${id} ${EXECUTION_COMPLETED}`]));
    expect(reads.mock.calls.length).toBeLessThan(3);
    const created = await addRun(server);
    expect(await followers[0]?.next()).toBe(`${created} ${EXECUTION_PENDING}`);
    for (const told of followers) await told.stop();
  });

  it("misses nothing that happens while it begins", async () => {
    const server = await one();
    const runs = [];
    for (let index = 0; index < 60; index++) runs.push(await addRun(server));
    const told = follow(server, { newest: 60 });
    await told.next();
    const [oldest, newest] = [runs[0] ?? "", runs[59] ?? ""];
    await patch(server, newest, ...moved(EXECUTION_COMPLETED));
    await patch(server, oldest, ...moved(EXECUTION_COMPLETED));
    await server.store.executions.delete(runs[1] ?? "");
    const rest = await told.until("caught-up");
    expect(rest.filter((each) => each.startsWith(oldest))).toEqual([`${oldest} ${EXECUTION_COMPLETED}`]);
    expect([await told.next(), await told.next()]).toEqual([`${newest} ${EXECUTION_COMPLETED}`, `deleted ${runs[1]}`]);
    await told.stop();
  });

  it("ends when the server closes", async () => {
    const server = await one();
    const told = follow(server);
    await told.next();
    const end = told.next();
    server.runs.close();
    await expect(end).rejects.toMatchObject({ code: Code.Unavailable });
  });

  it.each([
    ["told by the other server", () => createInProcessFanout({ shared: true }), NEVER],
    ["looked up", undefined, 5],
  ])("hears of what another server does: %s", async (_how, make, pollEveryMs) => {
    const shared = make?.();
    const fanouts = [
      shared ?? createInProcessFanout({ shared: true }),
      shared ?? createInProcessFanout({ shared: true }),
    ];
    open = await openServers({ fanouts, pollEveryMs });
    const [a, b] = [serverAt(0), serverAt(1)];
    const ended = await addEnded(a);
    const told = follow(b, { newest: 2 });
    expect(await told.until("caught-up")).toEqual([`${ended} ${EXECUTION_COMPLETED}`, "caught-up"]);
    const id = await addRun(a);
    expect(await told.next()).toBe(`${id} ${EXECUTION_PENDING}`);
    for (let index = 0; index < 60; index++) await addEnded(a);
    await patch(a, id, ...moved(EXECUTION_IN_PROGRESS));
    await told.until(`${id} ${EXECUTION_IN_PROGRESS}`);
    await patch(a, id, ...moved(EXECUTION_COMPLETED));
    await told.until(`${id} ${EXECUTION_COMPLETED}`);
    await a.store.executions.delete(ended);
    await told.until(`deleted ${ended}`);
    await a.store.executions.delete(id);
    await told.until(`deleted ${id}`);
    await told.stop();
  });
});
