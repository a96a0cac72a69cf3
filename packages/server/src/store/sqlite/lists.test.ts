// What lists cost and whether they are right, on the tables and indexes that this driver keeps for them.
import { DatabaseSync } from "node:sqlite";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { execution } from "../__fixtures__/conformance/executions.ts";
import { resource } from "../__fixtures__/conformance/resources.ts";
import type { ExecutionFilter, ExecutionStore } from "../execution-store.ts";
import type { ResourceFilter, ResourceRecord, ResourceStore } from "../resource-store.ts";
import { createExecutionStore } from "./executions.ts";
import { migrate } from "./migrations.ts";
import { createResourceStore } from "./resources.ts";
import { createSql, type Parameters, type Session, type Sql } from "./sql.ts";

interface Opened {
  readonly database: DatabaseSync;
  readonly executions: ExecutionStore;
  readonly resources: ResourceStore;
  /** What was read, and with which parameters. */
  readonly statements: [text: string, parameters: Parameters][];
  /** What was written. */
  readonly changes: string[];
}

function openInMemory(): Opened {
  const database = new DatabaseSync(":memory:");
  database.exec("PRAGMA foreign_keys = ON");
  migrate(database, ":memory:");
  const statements: [string, Parameters][] = [];
  const changes: string[] = [];
  const sql = createSql(database);
  const recording: Sql = {
    get: (text, parameters = {}) => {
      statements.push([text, parameters]);
      return sql.get(text, parameters);
    },
    all: (text, parameters = {}) => {
      statements.push([text, parameters]);
      return sql.all(text, parameters);
    },
    run: (text, parameters) => {
      changes.push(text);
      return sql.run(text, parameters);
    },
  };
  const session: Session = { read: async (work) => work(recording), write: async (work) => work(recording) };
  return {
    database,
    statements,
    changes,
    executions: createExecutionStore(session),
    resources: createResourceStore(session),
  };
}

/** SQLite's plan of each statement that was read, one line a step. */
function plansOf({ database, statements }: Opened): string[] {
  return statements.flatMap(([text, parameters]) =>
    database
      .prepare(`EXPLAIN QUERY PLAN ${text}`)
      .all(parameters)
      .map(({ detail }) => String(detail)),
  );
}

const executionFilters: Record<string, ExecutionFilter> = {
  nothing: {},
  organisation: { org: "o" },
  session: { sessionId: "s" },
  agent: { agentId: "a" },
  phase: { phase: 3 },
  tag: { tags: ["t"] },
  label: { labels: { k: "v" } },
  "organisation and session": { org: "o", sessionId: "s" },
  "organisation and agent": { org: "o", agentId: "a" },
  "organisation and phase": { org: "o", phase: 3 },
  "organisation and tag": { org: "o", tags: ["t"] },
  "organisation and label": { org: "o", labels: { k: "v" } },
  "session, what lives": { sessionId: "s", live: true },
  "phase, what lives": { phase: 7, live: true },
  "tags and labels": { tags: ["t", "u"], labels: { k: "v" } },
};

const resourceFilters: Record<string, ResourceFilter> = {
  kind: { kind: "Session" },
  organisation: { kind: "Session", org: "o" },
  parent: { kind: "Session", parentId: "p" },
  grandparent: { kind: "Session", grandparentId: "g" },
  tag: { kind: "Session", tags: ["t"] },
  label: { kind: "Session", labels: { k: "v" } },
  "organisation and parent": { kind: "Session", org: "o", parentId: "p" },
  "organisation and grandparent": { kind: "Session", org: "o", grandparentId: "g" },
  "organisation and tag": { kind: "Session", org: "o", tags: ["t"] },
  "organisation and label": { kind: "Session", org: "o", labels: { k: "v" } },
  "tags and labels": { kind: "Session", tags: ["t", "u"], labels: { k: "v" } },
};

/** Without a condition its index is read from one end, which is all that a page without conditions needs. */
const IN_ORDER = /^SCAN listed USING (COVERING )?INDEX executions_by_creation$/;
/** The subquery around a count is the count's own rows. */
const COUNTED = /^(SCAN \(subquery-\d+\)|CO-ROUTINE \(subquery-\d+\))$/;

/** Only the few rows that no index has yet are sorted, found by their position. */
function expectNoSearchForOrder(opened: Opened): void {
  expect(opened.statements.length).toBeGreaterThan(0);
  for (const statement of opened.statements) {
    const plan = plansOf({ ...opened, statements: [statement] }).filter(
      (step) => !COUNTED.test(step) && !IN_ORDER.test(step),
    );
    const isTail = statement[0].includes("NOT INDEXED");
    expect(plan.includes("SEARCH listed USING INTEGER PRIMARY KEY (rowid>?)")).toBe(isTail);
    for (const step of plan) expect(step).not.toMatch(isTail ? /SCAN/ : /SCAN|TEMP B-TREE/);
  }
}

describe("what a page reads", () => {
  const after = { createdAt: 5, id: "x" };
  it.each(Object.entries(executionFilters))("executions by %s: from one index, in its order", async (_by, filter) => {
    const opened = openInMemory();
    await opened.executions.list(filter, { limit: 50 });
    await opened.executions.list(filter, { limit: 50, after });
    await opened.executions.count(filter, 1_000);
    expectNoSearchForOrder(opened);
  });

  it.each(Object.entries(resourceFilters))("resources by %s: from one index, in its order", async (_by, filter) => {
    const opened = openInMemory();
    await opened.resources.list(filter, { limit: 50 });
    await opened.resources.list(filter, { limit: 50, after });
    await opened.resources.count(filter, 1_000);
    expectNoSearchForOrder(opened);
  });

  it("begins with the tag that fewest have", async () => {
    const opened = openInMemory();
    for (let index = 0; index < 20; index++) {
      const tags = index === 7 ? ["common", "rare"] : ["common"];
      await opened.executions.insert(execution({ id: `aex-${index}`, createdAt: index, tags }));
    }
    const found = await opened.executions.list({ tags: ["common", "rare"] }, { limit: 9 });
    expect(found.map(({ id }) => id)).toEqual(["aex-7"]);
    expect(opened.statements.at(-1)?.[0]).toContain("listed.mark = json_quote(:tag1)");
  });

  it("writes no index of the list for a change that leaves the phase", async () => {
    const { database, executions, changes } = openInMemory();
    await executions.insert(execution({ id: "aex-1" }));
    const indexesWritten = (): number =>
      changes
        .splice(0)
        .filter((text) => text.includes("UPDATE executions"))
        .flatMap((text) => database.prepare(`EXPLAIN ${text}`).all())
        .filter(({ opcode }) => opcode === "IdxInsert").length;
    changes.splice(0);
    await executions.append({ id: "aex-1", expectedRevision: 1, delta: new Uint8Array(), summary: { error: "e" } });
    expect(indexesWritten()).toBe(0);
    await executions.append({ id: "aex-1", expectedRevision: 2, delta: new Uint8Array(), summary: { phase: 4 } });
    expect(indexesWritten()).toBeGreaterThan(0);
    expect(await executions.count({ phase: 4 })).toBe(1);
    expect(await executions.count({ phase: 1 })).toBe(0);
  });
});

// Words that JSON writes in ways of its own, and one that looks like a label's JSON.
const word = fc.constantFrom("a", "b", 'say "no"', "\u0007\u007f\\", "é😀", '["a","b"]', "");
const tags = fc.array(word, { maxLength: 3 });
const labels = fc.dictionary(word, word, { maxKeys: 2, noNullPrototype: true });
const few = <T>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });

const hasAll = (record: Pick<ResourceRecord, "tags" | "labels">, filter: Pick<ResourceFilter, "tags" | "labels">) =>
  (filter.tags ?? []).every((tag) => record.tags.includes(tag)) &&
  Object.entries(filter.labels ?? {}).every(([key, value]) => record.labels[key] === value);

interface Ordered {
  readonly id: string;
  readonly createdAt: number;
}
const newestFirst = (a: Ordered, b: Ordered): number => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1);

describe("what a list shows, whatever was written", () => {
  const record = fc.record({
    id: few("1", "2", "3", "4", "5", "6"),
    kind: few("AgentInstance", "Session"),
    org: few("o", "p"),
    parentId: few("", "1", "2", "agt"),
    createdAt: fc.integer({ min: 0, max: 3 }),
    tags,
    labels,
  });
  const write = fc.oneof({ weight: 4, arbitrary: record }, fc.record({ deleted: few("1", "2", "3", "4", "5", "6") }));
  const filter = fc.record({
    kind: few("AgentInstance", "Session"),
    org: maybe(few("o", "p")),
    parentId: maybe(few("1", "2", "agt")),
    grandparentId: maybe(few("1", "2", "agt")),
    tags: maybe(tags),
    labels: maybe(labels),
  });

  it("is what a search through all resources finds", async () => {
    await fc.assert(
      fc.asyncProperty(
        few(0, 58, 63),
        fc.array(write, { maxLength: 20 }),
        fc.array(filter, { minLength: 3 }),
        async (earlier, writes, asked) => {
          const { database, resources } = openInMemory();
          const stored = new Map<string, ResourceRecord>();
          for (let index = 0; index < earlier; index += 1) {
            const one = resource({ id: `earlier-${index}`, kind: "Session", org: "q", createdAt: index % 4 });
            await resources.insert(one);
            stored.set(one.id, one);
          }
          for (const step of writes) {
            if ("deleted" in step) {
              const kind = stored.get(step.deleted)?.kind ?? "Session";
              await resources.delete(kind, step.deleted);
              stored.delete(step.deleted);
              continue;
            }
            // An id is one kind's alone.
            const before = stored.get(step.id);
            const next = resource({ ...step, kind: before?.kind ?? step.kind });
            await (before ? resources.replace(next, before.version) : resources.insert(next));
            stored.set(next.id, next);
          }
          for (const wanted of asked) {
            const all = [...stored.values()].filter(
              (one) =>
                one.kind === wanted.kind &&
                (wanted.org === undefined || one.org === wanted.org) &&
                (wanted.parentId === undefined || one.parentId === wanted.parentId) &&
                (wanted.grandparentId === undefined || stored.get(one.parentId)?.parentId === wanted.grandparentId) &&
                hasAll(one, wanted),
            );
            const found = await resources.list(wanted, { limit: 99 });
            expect(found).toEqual(all.toSorted(newestFirst));
            expect(await resources.count(wanted)).toBe(all.length);
          }
          database.close();
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each([62, 63, 64])("has a child whose parent came after %s others", async (before) => {
    const { database, resources } = openInMemory();
    for (let index = 1; index < before; index += 1) {
      await resources.insert(resource({ id: `earlier-${index}`, kind: "Session", org: "q" }));
    }
    await resources.insert(resource({ id: "child", kind: "Session", parentId: "parent" }));
    await resources.insert(resource({ id: "parent", kind: "AgentInstance", parentId: "agent" }));
    const found = await resources.list({ kind: "Session", grandparentId: "agent" }, { limit: 9 });
    expect(found.map(({ id }) => id)).toEqual(["child"]);
    database.close();
  });

  const run = fc.record({
    id: few("1", "2", "3", "4", "5", "6"),
    org: few("o", "p"),
    sessionId: few("s", "t"),
    agentId: few("a", "b"),
    phase: fc.integer({ min: 1, max: 3 }),
    createdAt: fc.integer({ min: 0, max: 3 }),
    tags,
    labels,
  });
  const runFilter = fc.record({
    org: maybe(few("o", "p")),
    sessionId: maybe(few("s", "t")),
    agentId: maybe(few("a", "b")),
    phase: maybe(fc.integer({ min: 1, max: 3 })),
    live: maybe(fc.constant(true)),
    tags: maybe(tags),
    labels: maybe(labels),
  });

  it("is what a search through all executions finds", async () => {
    const property = [few(0, 58, 63), fc.array(run, { maxLength: 20 }), fc.array(runFilter, { minLength: 3 })] as const;
    await fc.assert(
      fc.asyncProperty(...property, async (before, runs, asked) => {
        const { database, executions } = openInMemory();
        type Known = Omit<(typeof runs)[number], "phase"> & { phase: number; ended: boolean };
        const stored = new Map<string, Known>();
        for (let index = 0; index < before; index += 1) {
          const earlier = {
            org: "q",
            sessionId: "q",
            agentId: "q",
            phase: 9,
            createdAt: index % 4,
            tags: [],
            labels: {},
          };
          const one = { ...earlier, id: `earlier-${index}`, ended: false };
          await executions.insert(execution(one));
          stored.set(one.id, one);
        }
        for (const step of runs) {
          const known = stored.get(step.id);
          if (!known) {
            await executions.insert(execution(step));
            stored.set(step.id, { ...step, ended: false });
          } else if (step.phase === 3) {
            await executions.delete(step.id);
            stored.delete(step.id);
          } else if (known.ended || step.phase === 2) {
            await executions.replaceBody(step.id, { ...step, name: "", body: new Uint8Array() });
            stored.set(step.id, { ...known, tags: step.tags, labels: step.labels });
          } else {
            const { revision = 0 } = (await executions.get(step.id)) ?? {};
            const snapshot = new Uint8Array();
            const change = { id: step.id, expectedRevision: revision, delta: snapshot, snapshot, ends: true };
            await executions.append({ ...change, summary: { phase: 3 } });
            stored.set(step.id, { ...known, phase: 3, ended: true });
          }
        }
        for (const wanted of asked) {
          const all = [...stored.values()].filter(
            (one) =>
              (["org", "sessionId", "agentId", "phase"] as const).every(
                (column) => wanted[column] === undefined || wanted[column] === one[column],
              ) &&
              !(wanted.live && one.ended) &&
              hasAll(one, wanted),
          );
          const found = await executions.list(wanted, { limit: 99 });
          expect(found.map(({ id }) => id)).toEqual(all.toSorted(newestFirst).map(({ id }) => id));
          expect(await executions.count(wanted)).toBe(all.length);
        }
        database.close();
      }),
      { numRuns: 60 },
    );
  });
});
