import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { resource } from "../__fixtures__/conformance/resources.ts";
import { createAuditStore } from "./audit.ts";
import { createExecutionStore } from "./executions.ts";
import { createLedgerStore } from "./ledger.ts";
import { MIGRATIONS, migrate } from "./migrations.ts";
import { createResourceStore } from "./resources.ts";
import { createSql, type Session } from "./sql.ts";

/** A database as the schema's version of then made it. */
function databaseOf(version: number): DatabaseSync {
  const database = new DatabaseSync(":memory:");
  database.exec("PRAGMA foreign_keys = ON");
  database.exec("CREATE TABLE migrations (version INTEGER NOT NULL PRIMARY KEY, applied_at TEXT NOT NULL) STRICT");
  MIGRATIONS.slice(0, version).forEach((migration, index) => {
    database.exec(migration);
    database.exec(`INSERT INTO migrations VALUES (${index + 1}, 'then')`);
  });
  return database;
}

function broughtUpToDate(database: DatabaseSync): Session {
  migrate(database, "stigmer.db");
  expect(database.prepare("PRAGMA foreign_key_check").all()).toEqual([]);
  const sql = createSql(database);
  return { read: async (work) => work(sql), write: async (work) => work(sql) };
}

describe("a database of before", () => {
  it("has its tags, labels and parents in the tables of now", async () => {
    using database = databaseOf(4);
    database.exec(`
      INSERT INTO resources VALUES ('AgentInstance', 'ain', 'o', 1, 'i', 'i', 'agt', '{}', '[]', 'v', 1, 1, x'00');
      INSERT INTO resources VALUES ('Session', 'ses', 'o', 1, 's', 's', 'ain', '{"k":"v"}', '["t","t"]', 'v', 1, 1, x'00');
      INSERT INTO executions (id, org, name, labels, tags, session_id, agent_id, phase, error, started_at, completed_at, created_at, revision)
      VALUES ('aex', 'o', 'n', '{"k":"v"}', '["t","u"]', 'ses', 'agt', 3, '', '', '', 1, 1);
      INSERT INTO execution_bodies VALUES ('aex', x'00');
    `);
    const session = broughtUpToDate(database);
    const resources = createResourceStore(session);
    const executions = createExecutionStore(session);
    const labelled = { tags: ["t"], labels: { k: "v" } };
    expect(await resources.list({ kind: "Session", ...labelled, grandparentId: "agt" }, { limit: 9 })).toHaveLength(1);
    expect(await executions.list({ ...labelled, org: "o", phase: 3 }, { limit: 9 })).toHaveLength(1);
    await executions.delete("aex");
    expect(database.prepare("SELECT count(*) AS count FROM execution_marks").get()).toEqual({ count: 0 });
  });

  it("has its runs with all that belongs to them", async () => {
    using database = databaseOf(12);
    database.exec(`
      INSERT INTO executions
      VALUES ('young', 'o', 'n', '["t"]', 's', 'a', 2, '', 'then', '', 2, 3, 1, 2, 0, '{"k":"v"}'),
        ('old', 'o', 'n', '["t"]', 's', 'a', 3, 'e', 'then', 'now', 1, 9, 4, 5, 1, '{}');
      INSERT INTO execution_bodies VALUES ('young', x'01'), ('old', x'02');
      INSERT INTO execution_snapshots VALUES ('young', 1, x'03'), ('old', 9, x'04');
      INSERT INTO execution_deltas VALUES ('young', 2, x'05'), ('young', 3, x'06');
      INSERT INTO tool_calls VALUES ('young', 'k', 'ls', 'once', 'finished', 1, 'r', 7, x'08');
      INSERT INTO tasks (id, kind, queue, session_id, payload, state, created_at) VALUES ('young', 'execution', 'q', 's', x'', 'leased', 2);
    `);
    const session = broughtUpToDate(database);
    const executions = createExecutionStore(session);
    const ledger = createLedgerStore(session);
    const young = { id: "young", revision: 3, lastFence: 1, lastSequence: 2, ended: false, body: new Uint8Array([1]) };
    const old = { id: "old", revision: 9, lastFence: 4, lastSequence: 5, ended: true, body: new Uint8Array([2]) };
    expect(await executions.list({ org: "o", tags: ["t"] }, { limit: 9 })).toMatchObject([young, old]);
    expect(await executions.list({ sessionId: "s" }, { limit: 9 })).toMatchObject([young, old]);
    expect(await executions.snapshot("young")).toEqual({ revision: 1, status: new Uint8Array([3]) });
    expect(await executions.snapshot("old")).toEqual({ revision: 9, status: new Uint8Array([4]) });
    expect(await executions.log("young", 1)).toEqual([
      { revision: 2, delta: new Uint8Array([5]) },
      { revision: 3, delta: new Uint8Array([6]) },
    ]);
    expect(await ledger.count("young")).toBe(1);
    const end = { delta: new Uint8Array(), snapshot: new Uint8Array([9]), ends: true, summary: { phase: 3 } };
    expect(await executions.append({ id: "young", expectedRevision: 3, ...end })).toMatchObject({ revision: 4 });
    expect(await executions.list({ phase: 3 }, { limit: 9 })).toMatchObject([{ id: "young", revision: 4 }, old]);
    expect(await ledger.count("young")).toBe(0);
    await executions.delete("young");
    await executions.delete("old");
    for (const table of [
      "execution_bodies",
      "execution_snapshots",
      "execution_deltas",
      "execution_marks",
      "tool_calls",
    ]) {
      expect(database.prepare(`SELECT count(*) AS count FROM ${table}`).get()).toEqual({ count: 0 });
    }
  });

  it("has the logs of its runs in the order of now, and goes on with them", async () => {
    using database = databaseOf(14);
    const placed = (run: number, revision: number) => `(${run} << 32) + ${revision}`;
    database.exec(`
      INSERT INTO executions (id, org, name, labels, tags, session_id, agent_id, phase, error, started_at, completed_at, created_at, revision)
      VALUES ('one', 'o', 'n', '{}', '[]', 's', 'a', 2, '', '', '', 1, 1), ('two', 'o', 'n', '{}', '[]', 's', 'a', 2, '', '', '', 2, 1);
      INSERT INTO execution_bodies VALUES (1, x'01', x'02'), (2, x'01', x'02');
      INSERT INTO execution_deltas VALUES (${placed(1, 2)}, 1, 1, x'05'), (${placed(1, 3)}, 1, 2, x'06'), (${placed(2, 2)}, 4, 7, x'07');
    `);
    const executions = createExecutionStore(broughtUpToDate(database));
    expect(await executions.writeState("one")).toMatchObject({ revision: 3, lastFence: 1, lastSequence: 2 });
    expect(await executions.writeState("two")).toMatchObject({ revision: 2, lastFence: 4, lastSequence: 7 });
    await executions.append({ id: "one", expectedRevision: 3, delta: new Uint8Array([8]) });
    expect((await executions.log("one", 1)).map(({ revision, delta }) => [revision, delta[0]])).toEqual([
      [2, 5],
      [3, 6],
      [4, 8],
    ]);
    await executions.delete("one");
    expect(database.prepare("SELECT execution, revision FROM execution_deltas").all()).toEqual([
      { execution: 2, revision: 2 },
    ]);
  });

  it("has its resources and its audit log in the lists of now, and adds to them", async () => {
    using database = databaseOf(13);
    database.exec(`
      INSERT INTO resources VALUES
        ('Session', 'ses', 'o', 1, 's', 's', 'ain', '{"k":"v"}', '["t"]', 'v', 3, 4, x'01', ''),
        ('AgentInstance', 'ain', 'o', 1, 'i', 'i', 'agt', '{}', '[]', 'v', 2, 2, x'02', ''),
        ('Agent', 'agt', 'o', 1, 'a', 'a', '', '{}', '[]', 'v', 1, 1, x'03', '');
      INSERT INTO audit_entries VALUES (7, 'one', 'p', 'o', 'owner', 'm', 'Agent', 'agt', 'OK', '', 'trace');
    `);
    const session = broughtUpToDate(database);
    const resources = createResourceStore(session);
    const page = { limit: 9 };
    expect(await resources.get("Agent", "agt")).toMatchObject({
      version: "v",
      updatedAt: 1,
      body: new Uint8Array([3]),
    });
    const old = { id: "ses", tags: ["t"], labels: { k: "v" }, updatedAt: 4, body: new Uint8Array([1]) };
    await resources.insert(
      resource({ kind: "Session", id: "next", org: "o", parentId: "ain", tags: ["t"], createdAt: 9 }),
    );
    const sessions = [{ id: "next" }, old];
    for (const by of [{}, { org: "o" }, { parentId: "ain" }, { grandparentId: "agt" }, { tags: ["t"] }]) {
      expect(await resources.list({ kind: "Session", ...by }, page)).toMatchObject(sessions);
    }
    await resources.delete("AgentInstance", "ain");
    expect(await resources.list({ kind: "Session", grandparentId: "agt" }, page)).toEqual([]);
    await resources.delete("Session", "ses");
    expect(database.prepare("SELECT count(*) AS count FROM resource_marks").get()).toEqual({ count: 1 });

    const audit = createAuditStore(session);
    const one = {
      createdAt: 7,
      id: "one",
      principalId: "p",
      org: "o",
      role: "owner",
      method: "m",
      resourceKind: "Agent",
    };
    const entry = { ...one, resourceId: "agt", code: "OK", clientAddress: "", traceId: "trace" };
    await audit.append({ ...entry, id: "two" });
    for (const by of [{}, { org: "o" }, { principalId: "p", org: "o" }, { resourceId: "agt" }, { since: 7 }]) {
      expect(await audit.list(by, page)).toEqual([{ ...entry, id: "two" }, entry]);
    }
  });
});
