import { afterEach, beforeEach, expect, it } from "vitest";
import { silentLogger } from "../../logger.ts";
import { execution, task } from "../__fixtures__/conformance/executions.ts";
import { resource } from "../__fixtures__/conformance/resources.ts";
import type { Store } from "../store.ts";
import { createSchema, type Schema } from "./__fixtures__/schemas.ts";
import { openPostgresStore } from "./create-store.ts";

// What one organization's work costs another one: a transaction that is broken off is done again, after a wait.

let schema: Schema;
let store: Store;
beforeEach(async () => {
  schema = await createSchema();
  store = await openPostgresStore({ url: schema.url, logger: silentLogger });
});
afterEach(async () => {
  await store.close();
  await schema.drop();
});

/** Agents and sessions, so many that each kind has pages of an index to itself, and Postgres a reason to look for one by its id. */
async function fill(): Promise<void> {
  for (const [kind, prefix, parent, count] of [
    ["Agent", "agt", "", 500],
    ["AgentInstance", "ain", "agt", 500],
    ["Session", "ses", "ain", 2_000],
  ] as const) {
    const text = `
      INSERT INTO resources (kind, id, org, owner_scope, slug, name, parent_id, labels, tags, version, created_at, updated_at, body)
      SELECT $1, $2 || '-' || n, 'o', 1, n, '', CASE $3 WHEN '' THEN '' ELSE $3 || '-1' END, '{}', '[]', '', n, n, ''
      FROM generate_series(1, $4::int) AS n`;
    await schema.query(text, [kind, prefix, parent, count]);
  }
  await schema.query("ANALYZE resources");
}

it("makes runs at the same moment, each with its session, of which none breaks another off", async () => {
  await fill();
  let attempts = 0;
  const ready: PromiseWithResolvers<void>[] = [];
  const go: PromiseWithResolvers<void>[] = [];
  const make = async (index: number): Promise<void> => {
    const id = `${index}`;
    const done = (ready[index] = Promise.withResolvers());
    const leave = (go[index] = Promise.withResolvers());
    const made = store.transaction(async (tx) => {
      attempts += 1;
      await tx.resources.get("Agent", "agt-1");
      await tx.resources.get("AgentInstance", "ain-1");
      const session = {
        id: `ses-new-${id}`,
        kind: "Session",
        org: "o",
        slug: `new-${id}`,
        parentId: "ain-1",
        createdAt: 9_000,
      } as const;
      await tx.resources.insert(resource(session));
      await tx.executions.insert(execution({ id: `aex-${id}`, sessionId: session.id }));
      await tx.tasks.enqueue(task(`aex-${id}`, { sessionId: session.id }));
      done.resolve();
      await leave.promise;
    });
    await Promise.race([done.promise, made]);
    return made;
  };
  // Each begins when the one before has done all, and the last one ends first: so Postgres has to break off whoever stands between.
  const made: Promise<void>[] = [];
  for (let index = 0; index < 3; index += 1) {
    made.push(make(index));
    await ready[index]?.promise;
  }
  for (const index of [2, 1, 0]) {
    go[index]?.resolve();
    await made[index];
  }
  expect(attempts).toBe(3);
  expect(await store.executions.count({})).toBe(3);
});
