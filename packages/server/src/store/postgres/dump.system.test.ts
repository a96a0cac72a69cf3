import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { glob, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { Client } from "pg";
import { afterEach, beforeEach, expect, it } from "vitest";
import { silentLogger } from "../../logger.ts";
import { requireSameKey } from "../../secrets/require-same-key.ts";
import { execution, task } from "../__fixtures__/conformance/executions.ts";
import { resource } from "../__fixtures__/conformance/resources.ts";
import type { Store } from "../store.ts";
import { openPostgresStore } from "./create-store.ts";

// Postgres' own tools are what backs a database up (docs/guides/cloud.md): what they bring back is everything.

const run = promisify(execFile);

let folder: string;
let programs: string;
let names: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-dump-"));
  const found = await Array.fromAsync(glob("/usr/lib/postgresql/*/bin/pg_dump"));
  programs = dirname(found.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1) ?? "pg_dump");
  names = [];
});
afterEach(async () => {
  for (const name of names) await asAdmin(`DROP DATABASE ${name} WITH (FORCE)`);
  await rm(folder, { recursive: true });
});

function adminUrl(): string {
  const url = process.env["STIGMER_TEST_POSTGRES_URL"];
  if (!url)
    throw new Error("Set STIGMER_TEST_POSTGRES_URL to a Postgres that may be written to: pnpm test:system does.");
  return url;
}

async function asAdmin(text: string): Promise<void> {
  const client = new Client(adminUrl());
  await client.connect();
  await client.query(text).finally(() => client.end());
}

async function createDatabase(): Promise<string> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  await asAdmin(`CREATE DATABASE ${name}`);
  names.push(name);
  const url = new URL(adminUrl());
  url.pathname = `/${name}`;
  return url.href;
}

/** As a server does. */
const open = (url: string): Promise<Store> =>
  openPostgresStore({ url, logger: silentLogger, hold: { alone: false, onLost: () => {} } });

it("comes back from a dump that was taken under writes: resources, runs under way, archives, and whose key it is", async () => {
  const [from, to] = [await createDatabase(), await createDatabase()];
  const key = randomBytes(32);
  const archive = randomBytes(3_000_000);
  const hash = "a".repeat(64);
  const dump = join(folder, "servers.dump");
  let store = await open(from);
  try {
    await requireSameKey(store.settings, key, "here");
    await store.resources.insert(resource({ id: "agt-1", body: new Uint8Array([0, 255]) }));
    await store.artifacts.put(hash, archive);
    await store.executions.insert(execution({ id: "aex-held" }));
    await store.tasks.enqueue(task("aex-held", { queue: "q" }));
    const lease = { queue: "q", runnerId: "r", now: 1, leaseMs: 60_000, maxAttempts: 5 };
    expect((await store.queue.lease(lease))?.fence).toBe(1);
    let writing = true;
    const writer = (async () => {
      for (let count = 0; writing; count++) {
        await store.transaction(async (tx) => {
          await tx.executions.insert(execution({ id: `aex-${count}` }));
          await tx.tasks.enqueue(task(`aex-${count}`));
        });
      }
    })();
    await run(join(programs, "pg_dump"), ["--format=custom", `--file=${dump}`, from]);
    writing = false;
    await writer;
  } finally {
    await store.close();
  }
  await run(join(programs, "pg_restore"), ["--no-owner", "--exit-on-error", `--dbname=${to}`, dump]);
  store = await open(to);
  try {
    await expect(requireSameKey(store.settings, randomBytes(32), "here")).rejects.toMatchObject({ code: "wrong-key" });
    await requireSameKey(store.settings, key, "here");
    expect(Buffer.from((await store.artifacts.get(hash)) ?? []).equals(archive)).toBe(true);
    expect(await store.resources.get("Agent", "agt-1")).toMatchObject({ body: new Uint8Array([0, 255]) });
    // Each run with its task, as at one moment; and triggers, which keep what belongs together so.
    expect(await store.executions.orphans()).toEqual([]);
    expect(await store.tasks.state("aex-held")).toMatchObject({ state: "leased", fence: 1 });
    expect(await store.queue.claim({ taskId: "aex-held", claimId: "next" })).toMatchObject({ fence: 2 });
    await store.executions.insert(execution({ id: "aex-after" }));
    await store.tasks.enqueue(task("aex-after"));
    expect(await store.tasks.state("aex-after")).toMatchObject({ state: "waiting" });
  } finally {
    await store.close();
  }
});
