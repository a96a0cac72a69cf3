import { Code } from "@connectrpc/connect";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createInProcessFanout } from "../fanout/in-process.ts";
import { moved, said } from "./__fixtures__/open-runs.ts";
import { addRun, type LiveServer, openServers, type OpenServers, patch } from "./__fixtures__/open-servers.ts";
import type { SessionEvent } from "./follow-session.ts";

const { EXECUTION_COMPLETED } = ExecutionPhase;
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

/** What a follower is told, in short: `snapshot <id> <revision>`, `delta …`, `deleted <id>`, `caught-up`. */
interface Told {
  next(): Promise<string>;
  /** All up to this. */
  until(last: string): Promise<string[]>;
  stop(): Promise<void>;
}

function follow({ runs }: LiveServer, afterRevisions: Record<string, number> = {}): Told {
  const controller = new AbortController();
  const options = { sessionId: "ses-1", afterRevisions, signal: controller.signal };
  const events = runs.followSession(options)[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { done, value } = await events.next();
    return done ? "end" : inShort(value);
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

function inShort(event: SessionEvent): string {
  if (event.kind === "caught-up") return event.kind;
  if (event.kind === "deleted") return `deleted ${event.executionId}`;
  return `${event.event.kind} ${event.record.id} ${event.event.revision}`;
}

async function addEnded(server: LiveServer, sessionId = "ses-1"): Promise<string> {
  const id = await addRun(server, { sessionId });
  await patch(server, id, ...moved(EXECUTION_COMPLETED));
  return id;
}

describe("following a session", () => {
  it("tells of the runs under way, then of the others, newest first, then of what happens", async () => {
    const server = await one();
    const old = await addEnded(server);
    const older = await addRun(server);
    const newer = await addRun(server);
    const last = await addEnded(server);
    await addRun(server, { sessionId: "ses-2" });
    const told = follow(server);
    const beginning = await told.until("caught-up");
    expect(beginning.toSorted()).toEqual(
      [`snapshot ${older} 1`, `snapshot ${newer} 1`, `snapshot ${last} 2`, `snapshot ${old} 2`, "caught-up"].toSorted(),
    );
    expect(beginning.at(0)).toBe(`snapshot ${older} 1`);
    expect(beginning.indexOf(`snapshot ${old} 2`)).toBeGreaterThan(beginning.indexOf(`snapshot ${last} 2`));

    await patch(server, newer, ...said("m", "a"));
    expect(await told.next()).toBe(`delta ${newer} 2`);
    const future = await addRun(server);
    expect(await told.next()).toBe(`snapshot ${future} 1`);
    await patch(server, older, ...moved(EXECUTION_COMPLETED));
    expect(await told.next()).toBe(`delta ${older} 2`);
    await server.store.executions.delete(old);
    expect(await told.next()).toBe(`deleted ${old}`);
    await server.store.executions.delete(newer);
    expect(await told.next()).toBe(`deleted ${newer}`);
    await told.stop();
    expect(server.runs.metrics().subscriptions).toBe(0);
  });

  it("goes on where the follower was, and tells it nothing that it has", async () => {
    const server = await one();
    const ended = await addEnded(server);
    const running = await addRun(server);
    const deleted = await addEnded(server);
    await server.store.executions.delete(deleted);
    await patch(server, running, ...said("m", "a"));
    await patch(server, running, ...said("m", "b", 1));
    const unknown = await addEnded(server);
    const told = follow(server, { [ended]: 2, [running]: 2, [deleted]: 2 });
    const beginning = await told.until("caught-up");
    expect(beginning).toHaveLength(4);
    expect(beginning).toEqual(
      expect.arrayContaining([`deleted ${deleted}`, `delta ${running} 3`, `snapshot ${unknown} 2`, "caught-up"]),
    );
    await told.stop();
  });

  it("says that runs are gone which were never of this session, whether or not they are somewhere", async () => {
    const server = await one();
    const elsewhere = await addRun(server, { sessionId: "ses-2" });
    const told = follow(server, { [elsewhere]: 1, "aex-none": 7 });
    expect(await told.until("caught-up")).toEqual([`deleted ${elsewhere}`, "deleted aex-none", "caught-up"]);
    await told.stop();
  });

  it("holds a snapshot at a time of thousands that have ended, and no run in memory", async () => {
    const server = await one();
    const ids = new Set<string>();
    for (let index = 0; index < 120; index++) ids.add(await addEnded(server));
    const reads = vi.spyOn(server.store.executions, "get");
    const snapshots = vi.spyOn(server.store.executions, "snapshot");
    const told = follow(server);
    for (let index = 0; index < 5; index++) await told.next();
    expect(snapshots.mock.calls.length).toBeLessThan(8);
    for (const each of await told.until("caught-up")) ids.delete(each.split(" ")[1] ?? "");
    expect(ids.size).toBe(5);
    expect(reads.mock.calls.length).toBeLessThanOrEqual(120);
    const known = Object.fromEntries([...ids].map((id) => [id, 2]));
    snapshots.mockClear();
    const again = follow(server, known);
    expect(await again.until("caught-up")).toHaveLength(116);
    await told.stop();
    await again.stop();
  });

  it("follows only so many at once, the others when those have ended, and loses nothing of them", async () => {
    const server = await one();
    const ids: string[] = [];
    for (let index = 0; index < 70; index++) ids.push(await addRun(server));
    const told = follow(server);
    expect(await told.until("caught-up")).toHaveLength(71);
    expect(server.runs.metrics().subscriptions).toBe(65);
    const [first, last] = [ids[0] ?? "", ids[69] ?? ""];
    await patch(server, last, ...said("m", "a"));
    for (const id of ids.slice(0, 6)) await patch(server, id, ...moved(EXECUTION_COMPLETED));
    const rest = await told.until(`delta ${last} 2`);
    expect(rest).toContain(`delta ${first} 2`);
    await told.stop();
  });

  it("gives the place of one that is gone before its turn to the next", async () => {
    const server = await one();
    const ids: string[] = [];
    for (let index = 0; index < 68; index++) ids.push(await addRun(server));
    const told = follow(server);
    await told.until("caught-up");
    // Of those that wait one is deleted, and one ends; then there is one place.
    const [deleted, ended, next] = ids.slice(64);
    await server.store.executions.delete(deleted ?? "");
    await told.until(`deleted ${deleted}`);
    await patch(server, ended ?? "", ...moved(EXECUTION_COMPLETED));
    await patch(server, ids[0] ?? "", ...moved(EXECUTION_COMPLETED));
    await told.until(`snapshot ${ended} 2`);
    await patch(server, next ?? "", ...said("m", "a"));
    await told.until(`delta ${next} 2`);
    await told.stop();
  });

  it("does not let a run with much to tell keep the others from their beginning", async () => {
    const server = await one();
    const busy = await addRun(server);
    const others = [];
    for (let index = 0; index < 10; index++) others.push(await addEnded(server));
    const told = follow(server);
    const seen: string[] = [];
    for (let index = 0; seen.at(-1) !== "caught-up"; index++) {
      await patch(server, busy, ...said("m", "x", index));
      seen.push(await told.next());
    }
    expect(seen.length).toBeLessThan(30);
    expect(seen).toEqual(expect.arrayContaining(others.map((id) => `snapshot ${id} 2`)));
    await told.stop();
  });

  it("ends when the server closes, so that the follower comes back", async () => {
    const server = await one();
    const told = follow(server);
    await told.next();
    const end = told.next();
    server.runs.close();
    await expect(end).rejects.toMatchObject({ code: Code.Unavailable });
    await expect(follow(server).next()).rejects.toMatchObject({ code: Code.Unavailable });
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
    const told = follow(b);
    expect(await told.until("caught-up")).toEqual([`snapshot ${ended} 2`, "caught-up"]);
    const id = await addRun(a);
    expect(await told.next()).toBe(`snapshot ${id} 1`);
    await patch(a, id, ...said("m", "a"));
    expect(await told.next()).toBe(`delta ${id} 2`);
    await patch(a, id, ...moved(EXECUTION_COMPLETED));
    expect(await told.next()).toMatch(new RegExp(`(delta|snapshot) ${id} 3`));
    await a.store.executions.delete(ended);
    expect(await told.next()).toBe(`deleted ${ended}`);
    await a.store.executions.delete(id);
    expect(await told.next()).toBe(`deleted ${id}`);
    await told.stop();
  });

  it("tells of a run that had ended and was amended", async () => {
    const server = await one();
    const id = await addEnded(server);
    const told = follow(server, { [id]: 2 });
    expect(await told.next()).toBe("caught-up");
    const status = await server.runs.read(id);
    if (!status) throw new Error("The run is gone.");
    await server.runs.merge(id, status);
    expect(await told.next()).toBe(`snapshot ${id} 3`);
    await told.stop();
  });
});
