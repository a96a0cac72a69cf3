import { equals } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import {
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import * as fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Fanout, RunNotice } from "../fanout/fanout.ts";
import { createInProcessFanout } from "../fanout/in-process.ts";
import { moved, said } from "./__fixtures__/open-runs.ts";
import {
  addRun,
  followRun,
  type LiveServer,
  openServers,
  type OpenServers,
  patch,
} from "./__fixtures__/open-servers.ts";

const { EXECUTION_COMPLETED, EXECUTION_IN_PROGRESS } = ExecutionPhase;
const NEVER = 3_600_000;

let open: OpenServers | undefined;
afterEach(async () => {
  await open?.dispose();
  open = undefined;
});

/** Two servers that hear each other, and look nothing up unless they have to. */
async function hearing(): Promise<readonly [LiveServer, LiveServer]> {
  const fanout = createInProcessFanout({ shared: true });
  return pair([fanout, fanout], NEVER);
}

/** Two servers of which none hears the other. */
async function deaf(): Promise<readonly [LiveServer, LiveServer]> {
  return pair([createInProcessFanout({ shared: true }), createInProcessFanout({ shared: true })], 5);
}

async function pair(fanouts: readonly Fanout[], pollEveryMs: number): Promise<readonly [LiveServer, LiveServer]> {
  open = await openServers({ fanouts, pollEveryMs });
  const [a, b] = open.servers;
  if (!a || !b) throw new Error("Two servers were asked for.");
  return [a, b];
}

async function stored({ runs }: LiveServer, id: string): Promise<AgentExecutionStatus> {
  const status = await runs.read(id);
  if (!status) throw new Error("The run is gone.");
  return status;
}

function same(one: AgentExecutionStatus | undefined, other: AgentExecutionStatus): void {
  if (!one) throw new Error("Nothing was told.");
  expect(equals(AgentExecutionStatusSchema, { ...one, revision: 0 }, { ...other, revision: 0 })).toBe(true);
}

describe("a run that another server writes", () => {
  it("is told here change by change, without a look into the store", async () => {
    const [a, b] = await hearing();
    const id = await addRun(a);
    const follower = followRun(b, id);
    await follower.reach(1);
    const reads = (["snapshot", "log", "revisions", "get"] as const).map((name) => vi.spyOn(b.store.executions, name));
    for (let index = 0; index < 40; index++) await patch(a, id, ...said("m", "x", index));
    await follower.reach(41);
    expect(reads.map((read) => read.mock.calls.length)).toEqual([0, 0, 0, 0]);
    await patch(a, id, ...moved(EXECUTION_COMPLETED));
    await follower.ended;
    expect(follower.revision).toBe(42);
    expect(follower.events.filter(({ stateHash }) => stateHash).map(({ revision }) => revision)).toEqual([1, 32, 42]);
    same(follower.fold?.status, await stored(a, id));
  });

  it("is told here though nobody says a word", async () => {
    const [a, b] = await deaf();
    const id = await addRun(a);
    const follower = followRun(b, id);
    await follower.reach(1);
    for (let index = 0; index < 40; index++) await patch(a, id, ...said("m", "x", index));
    await follower.reach(41);
    expect(b.runs.metrics()).toMatchObject({ state: "polling", subscriptions: 1 });
    expect(b.runs.metrics().pollsTotal).toBeGreaterThan(0);
    await patch(a, id, ...moved(EXECUTION_COMPLETED));
    await follower.ended;
    same(follower.fold?.status, await stored(a, id));
    expect(b.runs.metrics().subscriptions).toBe(0);
  });

  it("is read as it is, whoever wrote last", async () => {
    const [a, b] = await deaf();
    const id = await addRun(a);
    await patch(a, id, ...said("m", "0"));
    for (let index = 1; index < 20; index++) {
      const [writer, reader] = index % 2 ? [b, a] : [a, b];
      await patch(writer, id, ...said("m", String(index % 10), index));
      expect(await stored(reader, id)).toMatchObject({ revision: index + 2 });
      same(await stored(reader, id), await stored(writer, id));
    }
    const snapshots = vi.spyOn(b.store.executions, "snapshot");
    await patch(a, id, ...moved(EXECUTION_IN_PROGRESS));
    await patch(b, id, ...said("m", "!", 20));
    expect(snapshots).not.toHaveBeenCalled();
    await patch(a, id, ...moved(EXECUTION_COMPLETED));
    expect((await stored(b, id)).phase).toBe(EXECUTION_COMPLETED);
  });

  it("ends here when it ended there before anyone heard of it", async () => {
    const [a, b] = await deaf();
    const id = await addRun(a);
    const follower = followRun(b, id);
    await follower.reach(1);
    await patch(a, id, ...said("m", "bye"), ...moved(EXECUTION_COMPLETED));
    await follower.ended;
    expect(follower.fold?.status).toMatchObject({ phase: EXECUTION_COMPLETED, messages: [{ content: "bye" }] });
  });

  it("is gone here when it was deleted there", async () => {
    for (const [a, b] of [await hearing(), await deaf()]) {
      const id = await addRun(a);
      const follower = followRun(b, id);
      await follower.reach(1);
      await a.store.executions.delete(id);
      await expect(follower.ended).rejects.toMatchObject({
        code: Code.NotFound,
        rawMessage: `AgentExecution ${id} was deleted`,
      });
      expect(await b.runs.read(id)).toBeUndefined();
    }
  });
});

/** What may happen to a notice on its way. */
const fate = fc.constantFrom("arrives", "is lost", "comes twice", "comes later", "lost its delta");

describe("what is heard", () => {
  it("is made whole from the store, whatever is lost, repeated, out of order", async () => {
    const [a, b] = await mangled();
    await fc.assert(
      fc.asyncProperty(fc.array(fate, { minLength: 1, maxLength: 20 }), async (fates) => {
        const id = await addRun(a.server);
        a.fates = [];
        const follower = followRun(b.server, id);
        await follower.reach(1);
        a.fates = [...fates];
        for (const [index] of fates.entries()) await patch(a.server, id, ...said("m", "é", 2 * index));
        // The last one arrives, and with it all before.
        a.flush();
        await patch(a.server, id, ...moved(EXECUTION_COMPLETED));
        await follower.ended;
        expect(follower.revision).toBe(fates.length + 2);
        same(follower.fold?.status, await stored(a.server, id));
      }),
      { numRuns: 60 },
    );
  });

  async function mangled(): Promise<[Mangled, Mangled]> {
    const fanout = createInProcessFanout({ shared: true });
    const way = mangle(fanout);
    const [a, b] = await pair([way.fanout, fanout], NEVER);
    return [Object.assign(way, { server: a }), Object.assign(mangle(fanout), { server: b })];
  }
});

interface Mangled {
  readonly server: LiveServer;
  fates: ("arrives" | "is lost" | "comes twice" | "comes later" | "lost its delta")[];
  flush(): void;
}

/** A way to the other server on which the next notices meet their fates. */
function mangle(fanout: Fanout): Omit<Mangled, "server"> & { readonly fanout: Fanout } {
  let later: RunNotice[] = [];
  const way = {
    fates: [] as Mangled["fates"],
    flush: () => {
      for (const notice of later) fanout.publish(notice);
      later = [];
    },
    fanout: {
      ...fanout,
      publish: (notice: RunNotice) => {
        const what = way.fates.shift() ?? "arrives";
        if (what === "comes later") later.unshift(notice);
        else if (what === "lost its delta") fanout.publish({ ...notice, delta: undefined });
        else if (what !== "is lost") fanout.publish(notice);
        if (what === "comes twice") fanout.publish(notice);
      },
    },
  };
  return way;
}
