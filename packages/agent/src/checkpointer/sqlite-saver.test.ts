import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { RunnableConfig } from "@langchain/core/runnables";
import { type Checkpoint, emptyCheckpoint, uuid6 } from "@langchain/langgraph-checkpoint";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createSqliteCheckpointer, type SqliteCheckpointer } from "./create-sqlite-checkpointer.ts";

let directory: string;
let path: string;
const open: SqliteCheckpointer[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "checkpointer-"));
  path = join(directory, "deep", "checkpoints.db");
});
afterEach(() => {
  for (const saver of open.splice(0)) saver.close();
  rmSync(directory, { recursive: true });
});

async function openSaver(keep?: number): Promise<SqliteCheckpointer> {
  const saver = await createSqliteCheckpointer({ path, keep });
  open.push(saver);
  return saver;
}

const at = (thread: string, namespace = ""): RunnableConfig => ({
  configurable: { thread_id: thread, checkpoint_ns: namespace },
});

/** Steps of a conversation, each of which adds a message. */
async function converse(
  saver: SqliteCheckpointer,
  start: RunnableConfig,
  options: { steps: number; messages?: object[] },
): Promise<{ config: RunnableConfig; messages: object[] }> {
  let config = start;
  let messages = options.messages ?? [];
  for (let step = 0; step < options.steps; step += 1) {
    messages = [...messages, { text: `message ${messages.length} ${"x".repeat(1000)}` }];
    const checkpoint: Checkpoint = {
      ...emptyCheckpoint(),
      id: uuid6(step),
      channel_values: { messages, step },
      channel_versions: { messages: messages.length, step: messages.length },
    };
    config = await saver.put(config, checkpoint, { source: "loop", step, parents: {} }, checkpoint.channel_versions);
    await saver.putWrites(config, [["messages", ["pending"]]], "task");
  }
  return { config, messages };
}

function count(table: string): number {
  const database = new DatabaseSync(path);
  try {
    return Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.["n"]);
  } finally {
    database.close();
  }
}

function bytes(): number {
  const database = new DatabaseSync(path);
  try {
    return Number(database.prepare("SELECT sum(length(value)) AS n FROM channel_values").get()?.["n"]);
  } finally {
    database.close();
  }
}

it("keeps what a run needs to go on, and no more", async () => {
  const saver = await openSaver();
  const { messages } = await converse(saver, at("t"), { steps: 100 });
  const tuple = await saver.getTuple(at("t"));
  expect(tuple?.checkpoint.channel_values).toEqual({ messages, step: 99 });
  expect(tuple?.pendingWrites).toEqual([["task", "messages", ["pending"]]]);
  expect(count("checkpoints")).toBeLessThan(8);
  expect(count("writes")).toBeLessThan(8);
  // 100 messages of 1 KB: what a whole list per step would be is 5 MB.
  expect(bytes()).toBeLessThan(500_000);
});

it("reads a long conversation back, whose items are lists themselves", async () => {
  const saver = await openSaver();
  let config = at("t");
  let list: number[][] = [];
  for (let step = 1; step <= 450; step += 1) {
    list = [...list, [step]];
    const checkpoint = {
      ...emptyCheckpoint(),
      id: uuid6(step),
      channel_values: { list },
      channel_versions: { list: step },
    };
    config = await saver.put(config, checkpoint, { source: "loop", step, parents: {} }, { list: step });
  }
  expect((await saver.getTuple(config))?.checkpoint.channel_values).toEqual({ list });
  // Stored whole now and then, and what the whole one replaces is deleted.
  expect(count("channel_values")).toBeLessThan(400);
});

it("reads in one connection what another wrote, and both may go on from it", async () => {
  const first = await openSaver();
  const second = await openSaver();
  const start = await converse(first, at("t"), { steps: 5 });
  expect((await second.getTuple(at("t")))?.checkpoint.channel_values["messages"]).toEqual(start.messages);
  const theirs = await converse(second, start.config, { steps: 20, messages: start.messages });
  const ours = await converse(first, theirs.config, { steps: 20, messages: theirs.messages });
  expect((await second.getTuple(at("t")))?.checkpoint.channel_values["messages"]).toEqual(ours.messages);
});

it("lets two connections write at the same time", async () => {
  const savers = [await openSaver(), await openSaver()];
  const threads = await Promise.all(savers.map((saver, index) => converse(saver, at(`t${index}`), { steps: 50 })));
  for (const [index, { messages }] of threads.entries()) {
    expect((await savers[0]!.getTuple(at(`t${index}`)))?.checkpoint.channel_values["messages"]).toEqual(messages);
  }
});

it("drops a sub-graph's steps when the main graph has gone on", async () => {
  const saver = await openSaver();
  const { config, messages } = await converse(saver, at("t"), { steps: 1 });
  await converse(saver, at("t", "tools:1"), { steps: 3 });
  expect(await saver.getTuple(at("t", "tools:1"))).toBeDefined();
  await converse(saver, at("other", "tools:1"), { steps: 1 });
  await converse(saver, config, { steps: 1, messages });
  expect(await saver.getTuple(at("t", "tools:1"))).toBeUndefined();
  expect(await saver.getTuple(at("other", "tools:1"))).toBeDefined();
});

it("deletes a thread whole, and takes it up again as new", async () => {
  const saver = await openSaver();
  const old = await converse(saver, at("t"), { steps: 3 });
  await converse(saver, at("t", "tools:1"), { steps: 1 });
  await saver.deleteThread("t");
  for (const table of ["checkpoints", "channel_values", "writes"]) expect(count(table)).toBe(0);
  const { messages } = await converse(saver, at("t"), { steps: 1, messages: old.messages });
  expect((await saver.getTuple(at("t")))?.checkpoint.channel_values["messages"]).toEqual(messages);
});

it("leaves no value behind that nothing refers to", async () => {
  const saver = await openSaver();
  const { config, messages } = await converse(saver, at("t"), { steps: 20 });
  await converse(saver, at("t", "tools:1"), { steps: 10 });
  const tuple = await saver.getTuple(config);
  const { checkpoint, metadata, parentConfig } = tuple!;
  // The same checkpoint once more, with another end of the list.
  const again = { ...checkpoint, channel_values: { messages: messages.slice(1), step: 99, note: "x".repeat(100) } };
  const versions = { messages: 100, step: 100, note: 1 };
  await saver.put(parentConfig!, { ...again, channel_versions: versions }, metadata!, versions);
  expect((await saver.getTuple(config))?.checkpoint.channel_values).toEqual(again.channel_values);
  await converse(saver, config, { steps: 9, messages: messages.slice(1) });

  using database = new DatabaseSync(path);
  const referred = new Set<number>();
  const refer = (id: unknown): void => {
    if (typeof id !== "number" || referred.has(id)) return;
    referred.add(id);
    refer(database.prepare("SELECT base FROM channel_values WHERE id = ?").get(id)?.["base"]);
  };
  for (const { channels } of database.prepare("SELECT channels FROM checkpoints").all()) {
    Object.values(JSON.parse(String(channels)) as Record<string, unknown>).forEach(refer);
  }
  const stored = database.prepare("SELECT id FROM channel_values ORDER BY id").all();
  expect(stored.map(({ id }) => id)).toEqual([...referred].toSorted((a, b) => a - b));
});

it("keeps a value of a few bytes within its checkpoint", async () => {
  const saver = await openSaver();
  const values = { undefined, nothing: null, text: "é", list: [], bytes: new Uint8Array(3), long: "x".repeat(100) };
  const versions = Object.fromEntries(Object.keys(values).map((channel) => [channel, 1]));
  const checkpoint = { ...emptyCheckpoint(), channel_values: values, channel_versions: versions };
  const config = await saver.put(at("t"), checkpoint, { source: "input", step: -1, parents: {} }, versions);
  expect((await saver.getTuple(config))?.checkpoint.channel_values).toEqual(values);
  // The bytes, the long text, and the document with all else.
  expect(count("channel_values")).toBe(3);
  // It is nothing to append to, though it is a list that only grew.
  const grown = { ...checkpoint, id: uuid6(1), channel_values: { ...values, list: [{ text: "x".repeat(100) }] } };
  await saver.put(config, grown, { source: "loop", step: 0, parents: {} }, { list: 2 });
  expect((await saver.getTuple(at("t")))?.checkpoint.channel_values).toEqual(grown.channel_values);
});

it("goes on with a database of before", async () => {
  (await openSaver()).close();
  const old = new DatabaseSync(path);
  old.exec(
    `
    DROP TABLE checkpoints; DROP TABLE channel_values; PRAGMA user_version = 2;
    CREATE TABLE checkpoints (
      thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL, checkpoint_id TEXT NOT NULL, parent_checkpoint_id TEXT,
      type TEXT NOT NULL, checkpoint BLOB NOT NULL, metadata_type TEXT NOT NULL, metadata BLOB NOT NULL, channels TEXT NOT NULL,
      PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
    ) STRICT;
    CREATE TABLE channel_values (
      id INTEGER PRIMARY KEY AUTOINCREMENT, thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL, base INTEGER,
      type TEXT NOT NULL, value BLOB NOT NULL
    ) STRICT;
    CREATE INDEX channel_values_by_thread ON channel_values (thread_id, checkpoint_ns);
    INSERT INTO channel_values (id, thread_id, checkpoint_ns, base, type, value) VALUES
      (1, 't', '', NULL, 'json', '["a"]'), (2, 't', '', 1, 'json', '["b"]'), (3, 't', '', NULL, 'json', '"lost"'),
      (4, 't', '', NULL, 'json', '7');
  `.replaceAll(/'json', ('[^']*')/g, "'json', CAST($1 AS BLOB)"),
  );
  const { channel_values: _, ...head } = { ...emptyCheckpoint(), id: uuid6(0) };
  old
    .prepare("INSERT INTO checkpoints VALUES ('t', '', ?, NULL, 'json', ?, 'json', ?, ?)")
    .run(head.id, Buffer.from(JSON.stringify(head)), Buffer.from("{}"), '{"messages":2,"step":4}');
  old.close();

  const saver = await openSaver();
  const tuple = await saver.getTuple(at("t"));
  expect(tuple?.checkpoint.channel_values).toEqual({ messages: ["a", "b"], step: 7 });
  // What nothing referred to is gone; it would never be found again.
  expect(count("channel_values")).toBe(3);
  const { messages } = await converse(saver, tuple!.config, { steps: 20 });
  expect((await saver.getTuple(at("t")))?.checkpoint.channel_values["messages"]).toEqual(messages);
  await saver.deleteThread("t");
  for (const table of ["checkpoints", "channel_values", "writes"]) expect(count(table)).toBe(0);
});

it("goes on with a database of version 3, which had no documents", async () => {
  (await openSaver()).close();
  const old = new DatabaseSync(path);
  const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
  const { channel_values: _, ...head } = { ...emptyCheckpoint(), id: uuid6(0) };
  const value = old.prepare("INSERT INTO channel_values VALUES (?, 't', '', ?, ?, ?)");
  value.run(1, null, "json", bytes([{ text: "a" }]));
  value.run(2, 1, "json", bytes([{ text: "b" }]));
  const send = { node: "tools", args: { call: 1 } };
  value.run(3, null, "sends+json", bytes([{ send, shared: ["messages"] }]));
  const channels = { messages: 2, __pregel_tasks: 3, step: ["7"], jumpTo: [], note: ['"short"'] };
  old
    .prepare("INSERT INTO checkpoints VALUES ('t', '', ?, 'earlier', 'json', ?, 'json', ?, ?)")
    .run(head.id, bytes(head), bytes({ source: "loop", step: 7 }), JSON.stringify(channels));
  old.exec("PRAGMA user_version = 3");
  old.close();

  const saver = await openSaver();
  const tuple = (await saver.getTuple(at("t")))!;
  const messages = [{ text: "a" }, { text: "b" }];
  expect(tuple.checkpoint).toEqual({
    ...head,
    channel_values: {
      messages,
      __pregel_tasks: [{ node: "tools", args: { call: 1, messages } }],
      step: 7,
      jumpTo: undefined,
      note: "short",
    },
  });
  expect(tuple).toMatchObject({
    metadata: { source: "loop", step: 7 },
    parentConfig: { configurable: { checkpoint_id: "earlier" } },
  });
  // The next one takes over what did not change, from where it was.
  const values = { ...tuple.checkpoint.channel_values, step: 8, __pregel_tasks: [] };
  const next = { ...tuple.checkpoint, id: uuid6(1), channel_values: values };
  await saver.put(tuple.config, next, { source: "loop", step: 8, parents: {} }, { step: 8, __pregel_tasks: 8 });
  expect((await saver.getTuple(at("t")))?.checkpoint).toEqual(next);
  const found = [];
  for await (const { metadata } of saver.list(at("t"), { filter: { step: 7 } })) found.push(metadata);
  expect(found).toEqual([{ source: "loop", step: 7 }]);
  expect(count("channel_values")).toBe(4);
});

it("takes over what did not change, though another process put the checkpoint before once more", async () => {
  const [saver, other] = [await openSaver(), await openSaver()];
  const values = { long: "x".repeat(100), short: "a", step: 0 };
  const versions = { long: 1, short: 1, step: 1 };
  const checkpoint = { ...emptyCheckpoint(), id: uuid6(0), channel_values: values, channel_versions: versions };
  const metadata = { source: "loop", step: 0, parents: {} } as const;
  const config = await saver.put(at("t"), checkpoint, metadata, versions);
  const again = { ...checkpoint, channel_values: { ...values, long: "y".repeat(100), short: "b" } };
  await other.put(at("t"), again, metadata, versions);
  const next = { ...again, id: uuid6(1), channel_values: { ...again.channel_values, step: 1 } };
  await saver.put(config, next, { ...metadata, step: 1 }, { step: 2 });
  expect((await saver.getTuple(at("t")))?.checkpoint.channel_values).toEqual(next.channel_values);
});

it("stores the whole list again when another process deleted what it would append to", async () => {
  const saver = await openSaver();
  const old = await converse(saver, at("t"), { steps: 3 });
  await (await openSaver()).deleteThread("t");
  const { messages } = await converse(saver, old.config, { steps: 1, messages: old.messages });
  expect((await saver.getTuple(at("t")))?.checkpoint.channel_values["messages"]).toEqual(messages);
});

it("writes a task's results once, and its error as often as it fails", async () => {
  const saver = await openSaver();
  const { config } = await converse(saver, at("t"), { steps: 1 });
  await saver.putWrites(config, [["messages", "late"]], "task");
  await saver.putWrites(config, [["__error__", "first"]], "task");
  await saver.putWrites(config, [["__error__", "second"]], "task");
  expect((await saver.getTuple(config))?.pendingWrites?.map(([, channel, value]) => [channel, value])).toEqual([
    ["__error__", "second"],
    ["messages", ["pending"]],
  ]);
});

it("is readable by its owner alone", async () => {
  await openSaver();
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

it("refuses a file that isn't its own, and a database of a later version", async () => {
  path = join(directory, "text.db");
  writeFileSync(path, "not a database".repeat(100));
  await expect(openSaver()).rejects.toMatchObject({
    code: "checkpoint",
    message: expect.stringContaining(path) as string,
  });
  path = join(directory, "later.db");
  (await openSaver()).close();
  const database = new DatabaseSync(path);
  database.exec("PRAGMA user_version = 99");
  database.close();
  await expect(openSaver()).rejects.toThrow(/newer version/);
});

it("brings to the disk what was put, and says when it can't", async () => {
  const saver = await openSaver();
  await saver.flush();
  await converse(saver, at("t"), { steps: 2 });
  await saver.flush();
  await converse(saver, at("t"), { steps: 2 });
  await Promise.all([saver.flush(), saver.flush()]);
  const other = await createSqliteCheckpointer({ path: join(directory, "other.db") });
  await converse(other, at("t"), { steps: 1 });
  // As when a file system goes away under it.
  rmSync(join(directory, "other.db-wal"));
  await expect(other.flush()).rejects.toMatchObject({
    name: "AgentError",
    code: "checkpoint",
    message: expect.stringMatching(/other\.db can't be brought to the disk: ENOENT/) as string,
  });
  other.close();
});

it("has nothing to flush in memory", async () => {
  const saver = await createSqliteCheckpointer({ path: ":memory:" });
  await converse(saver, at("t"), { steps: 2 });
  await saver.flush();
  saver.close();
});
