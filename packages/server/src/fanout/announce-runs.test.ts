import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { addRun, openServers, type OpenServers } from "../executions/__fixtures__/open-servers.ts";
import type { Store } from "../store/store.ts";
import { announceRuns } from "./announce-runs.ts";
import type { RunNotice } from "./fanout.ts";
import { createInProcessFanout } from "./in-process.ts";

let open: OpenServers;
let told: RunNotice[];
let inner: Store;
let store: Store;
beforeEach(async () => {
  open = await openServers({ fanouts: [createInProcessFanout()] });
  const [server] = open.servers;
  if (!server) throw new Error("A server was asked for.");
  inner = server.store;
  told = [];
  store = announceRuns(inner, { announce: (notice) => void told.push(notice) });
});
afterEach(() => open.dispose());

const add = (into: Store): Promise<string> => addRun({ ...open.servers[0]!, store: into }, { sessionId: "ses-7" });
const inShort = (): string[] => told.map(({ kind, executionId, sessionId }) => `${kind} ${executionId} ${sessionId}`);

describe("a run that comes or goes", () => {
  it("is told of once it is stored", async () => {
    const id = await add(store);
    expect(inShort()).toEqual([`created ${id} ses-7`]);
    expect(told[0]).toMatchObject({ org: "local", agentId: "agt-1", revision: 1, summaryChanged: true });
    await store.executions.delete(id);
    expect(inShort()).toEqual([`created ${id} ses-7`, `deleted ${id} ses-7`]);
    expect(await store.executions.get(id)).toBeUndefined();
  });

  it("is not told of when it was not there, or the transaction was undone", async () => {
    expect(await store.executions.delete("aex-none")).toBe(false);
    const id = await add(inner);
    const undone = store.transaction(async (tx) => {
      await tx.executions.delete(id);
      throw new Error("No.");
    });
    await expect(undone).rejects.toThrow("No.");
    expect(told).toEqual([]);
    expect(await store.executions.get(id)).toBeDefined();
  });

  it("is told of once though the transaction ran twice", async () => {
    const id = await add(inner);
    const twice: Store = {
      ...inner,
      // As Postgres does after a serialization failure.
      transaction: async (work) => {
        await inner
          .transaction(async (tx) => {
            await work(tx);
            throw new Error("Again.");
          })
          .catch(() => {});
        return inner.transaction(work);
      },
    };
    const announcing = announceRuns(twice, { announce: (notice) => void told.push(notice) });
    expect(await announcing.transaction((tx) => tx.executions.delete(id))).toBe(true);
    expect(inShort()).toEqual([`deleted ${id} ses-7`]);
  });
});
