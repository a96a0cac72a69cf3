import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { silentLogger } from "../../logger.ts";
import { createSchema } from "./__fixtures__/schemas.ts";
import { openPostgresStore } from "./create-store.ts";

it("keeps every acknowledged transaction, whole, over kill -9", async () => {
  const schema = await createSchema();
  try {
    const program = fileURLToPath(new URL("./__fixtures__/write-until-killed.ts", import.meta.url));
    const child = spawn(process.execPath, ["--conditions=@stigmer/source", program, schema.url], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(child, "exit");
    const acknowledged: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged.push(line);
      if (acknowledged.length === 200) child.kill("SIGKILL");
    }
    expect(await exited).toEqual([null, "SIGKILL"]);

    const store = await openPostgresStore({ url: schema.url, logger: silentLogger });
    const stored = (await store.executions.list({}, { limit: 100_000 })).map(({ id }) => id);
    expect(stored).toEqual(expect.arrayContaining(acknowledged));
    // Also what was not acknowledged is there whole or not at all.
    expect(await store.executions.orphans()).toEqual([]);
    expect(await store.queue.counts()).toMatchObject({ waiting: stored.length });
    // What it had locked is free.
    expect(await store.queue.lease({ queue: "q", runnerId: "r", now: 1, leaseMs: 1, maxAttempts: 5 })).toBeDefined();
    await store.transaction((tx) => tx.tasks.enqueue({ ...leftover, id: "after" }));
    await store.close();
  } finally {
    await schema.drop();
  }
});

const leftover = {
  kind: "execution",
  queue: "q",
  sessionId: "ses-0",
  org: "",
  payload: new Uint8Array(),
  createdAt: 1,
} as const;
