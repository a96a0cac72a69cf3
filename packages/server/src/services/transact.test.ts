import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { StoreError } from "../store/errors.ts";
import type { Store } from "../store/store.ts";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";
import { orAfterLostRace, transact } from "./transact.ts";

let server: TestServer;
beforeEach(async () => {
  server = await openTestServer();
});
afterEach(() => server.dispose());

/** Lets `before` happen between a transaction's look and its write, as another server's writes do. */
function racing(before: () => Promise<void>, races = 1): Store["transaction"] {
  const { store } = server;
  const original = store.transaction;
  let left = races;
  return async (work) => {
    if (left-- <= 0) return original(work);
    await before();
    // What a driver says whose transactions see what was there when they began.
    throw new StoreError("already-exists", 'Agent "a" exists already in local.');
  };
}

describe("an apply that loses a race", () => {
  it("finds what the winner stored: it changes nothing when that is equal, and replaces it otherwise", async () => {
    let winner: unknown;
    const original = server.store.transaction;
    const lose = (name: string): void => {
      const transaction = racing(async () => {
        Object.assign(server.store, { transaction: original });
        winner = await server.agents.create(given.agent(name));
      });
      Object.assign(server.store, { transaction });
    };
    lose("a");
    expect(await server.agents.apply(given.agent("a"))).toEqual(winner);
    lose("b");
    const replaced = await server.agents.apply(given.agent("b", { description: "Mine" }));
    const { metadata } = winner as typeof replaced;
    expect(replaced).toMatchObject({
      metadata: { id: metadata?.id, version: { previousVersionId: metadata?.version?.id } },
      spec: { description: "Mine" },
    });
    expect((await server.agents.list({})).items).toHaveLength(2);
  });

  it("gives up after a while, with the code of what stood in the way", async () => {
    let tries = 0;
    const store = {
      transaction: async (): Promise<never> => {
        tries += 1;
        throw new StoreError("conflict", "Agent agt-1 has changed.");
      },
    };
    const attempt = orAfterLostRace(() => transact(store, async () => {}));
    await expect(attempt).rejects.toMatchObject({ code: Code.Aborted, rawMessage: "Agent agt-1 has changed." });
    expect(tries).toBe(5);
  });

  it("is not tried again when it was refused for what it says", async () => {
    const created = await server.agents.create(given.agent("a"));
    let tries = 0;
    const original = server.store.transaction;
    const transaction: Store["transaction"] = (work) => {
      tries += 1;
      return original(work);
    };
    Object.assign(server.store, { transaction });
    const metadata = { version: { id: "ver-outdated" } };
    await expect(server.agents.apply(given.agent("a", { description: "x" }, metadata))).rejects.toMatchObject({
      code: Code.Aborted,
    });
    expect(tries).toBe(1);
    expect(await server.agents.get({ value: created.metadata?.id })).toEqual(created);
  });
});
