import { queueStoreConformance } from "@stigmer/engine/conformance";
import { describe, expect, it } from "vitest";
import { silentLogger } from "../../logger.ts";
import { comeToRest } from "../__fixtures__/come-to-rest.ts";
import { task } from "../__fixtures__/conformance/executions.ts";
import { createSchema } from "./__fixtures__/schemas.ts";
import { openPostgresStore } from "./create-store.ts";

queueStoreConformance({
  name: "postgres",
  describe,
  it,
  runs: 15,
  create: async () => {
    const schema = await createSchema();
    const store = await openPostgresStore({ url: schema.url, logger: silentLogger });
    return {
      queue: store.queue,
      enqueue: (task) => store.tasks.enqueue(task),
      comeToRest: (lease) => comeToRest(store, lease),
      dispose: async () => {
        await store.close();
        await schema.drop();
      },
    };
  },
});

it("keeps to an organization's limit when many lease at once from a database that a server has alone", async () => {
  const schema = await createSchema();
  const hold = { alone: true, onLost: () => {} };
  const store = await openPostgresStore({ url: schema.url, logger: silentLogger, hold });
  try {
    const orgs = ["a", "b"];
    for (let index = 0; index < 24; index++) {
      await store.tasks.enqueue(task(`t${index}`, { org: orgs[index % 2] ?? "", sessionId: "" }));
    }
    const options = { queue: "q", runnerId: "r", now: 1, leaseMs: 1_000, maxAttempts: 5, maxPerOrg: 3 };
    const leases = await Promise.all(Array.from({ length: 24 }, () => store.queue.lease(options)));
    const given = leases.flatMap((leased) => (leased ? [leased.org] : []));
    expect(given.toSorted()).toEqual(["a", "a", "a", "b", "b", "b"]);
    expect(new Set(leases.map((leased) => leased?.id)).size).toBe(7);
  } finally {
    await store.close();
    await schema.drop();
  }
});
