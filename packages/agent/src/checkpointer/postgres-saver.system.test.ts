import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { RunnableConfig } from "@langchain/core/runnables";
import { type Checkpoint, emptyCheckpoint, uuid6 } from "@langchain/langgraph-checkpoint";
import type { ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openSchema, postgresUrl, type TestSchema } from "../__fixtures__/postgres.ts";
import { answer, collect, openWorkbench } from "../__fixtures__/workbench.ts";
import { createSqliteLedger } from "../ledger/create-sqlite-ledger.ts";
import { createPostgresCheckpointer, type PostgresCheckpointer } from "./create-postgres-checkpointer.ts";

// Without a server all of this file fails, with one message.
const server = new URL(postgresUrl());

let db: TestSchema;
beforeEach(async () => {
  db = await openSchema();
});
afterEach(() => db[Symbol.asyncDispose]());

const until = { timeout: 30_000, interval: 20 };
const at = (thread: string, namespace = ""): RunnableConfig => ({
  configurable: { thread_id: thread, checkpoint_ns: namespace },
});

/** Steps of a conversation, each of which adds a message. `from` keeps their ids in order over several calls. */
async function converse(
  saver: PostgresCheckpointer,
  config: RunnableConfig,
  { from = 0, steps = 1 },
): Promise<string[]> {
  const messages = Array.from({ length: from }, (_, index) => `message ${index}`);
  let at = config;
  for (let step = from; step < from + steps; step += 1) {
    messages.push(`message ${step}`);
    const checkpoint: Checkpoint = {
      ...emptyCheckpoint(),
      id: uuid6(step),
      channel_values: { messages: [...messages], step, fixed: "as it was" },
      channel_versions: { messages: step + 1, step: step + 1, fixed: 1 },
    };
    const { fixed, ...changed } = checkpoint.channel_versions;
    const versions = step === 0 ? { ...changed, fixed: fixed! } : changed;
    at = await saver.put(at, checkpoint, { source: "loop", step, parents: {} }, versions);
    await saver.putWrites(at, [["messages", ["pending"]]], "task");
  }
  return messages;
}

async function counts(): Promise<Record<string, number>> {
  const rows = await db.query(
    ["checkpoints", "checkpoint_blobs", "checkpoint_writes"]
      .map((table) => `SELECT '${table}' AS name, count(*)::int AS n FROM SCHEMA.${table}`)
      .join(" UNION ALL "),
  );
  return Object.fromEntries(rows.map(({ name, n }) => [name, n]));
}

describe("what is kept", () => {
  it("is what a run needs to go on, and no more", async () => {
    const saver = await db.open();
    const messages = await converse(saver, at("t"), { steps: 50 });
    const tuple = await saver.getTuple(at("t"));
    expect(tuple?.checkpoint.channel_values).toEqual({ messages, step: 49, fixed: "as it was" });
    expect(tuple?.pendingWrites).toEqual([["task", "messages", ["pending"]]]);
    const kept = await counts();
    expect(kept["checkpoints"]).toBeGreaterThanOrEqual(4);
    expect(kept["checkpoints"]).toBeLessThan(8);
    expect(kept["checkpoint_writes"]).toBe(kept["checkpoints"]);
    // Two values that change with each checkpoint, and one that never did.
    expect(kept["checkpoint_blobs"]).toBe(2 * kept["checkpoints"]! + 1);
    const oldest = (await Array.fromAsync(saver.list(at("t")))).at(-1)!;
    expect(oldest.checkpoint.channel_values["messages"]).toHaveLength((oldest.metadata?.step ?? 0) + 1);
  });

  it("goes on the same when another process takes the thread over", async () => {
    await converse(await db.open(), at("t"), { steps: 7 });
    const second = await db.open();
    const messages = await converse(second, (await second.getTuple(at("t")))!.config, { from: 7, steps: 30 });
    expect((await second.getTuple(at("t")))?.checkpoint.channel_values).toMatchObject({ messages, fixed: "as it was" });
    expect((await counts())["checkpoints"]).toBeLessThan(8);
  });

  it("is nothing of a sub-agent whose task has ended, whoever ran it", async () => {
    const first = await db.open();
    await converse(first, at("t"), { steps: 2 });
    await converse(first, at("t", "tools:1"), { from: 2, steps: 3 });
    await converse(first, at("other", "tools:1"), { from: 2, steps: 3 });
    // Another process goes on with the root graph, and has a sub-agent of its own.
    const second = await db.open();
    await converse(second, at("t"), { from: 5, steps: 1 });
    await converse(second, at("t", "tools:2"), { from: 6, steps: 3 });
    const namespaces = (): Promise<Record<string, unknown>[]> =>
      db.query("SELECT DISTINCT thread_id, checkpoint_ns FROM SCHEMA.checkpoint_blobs ORDER BY 1, 2");
    expect(await namespaces()).toEqual([
      { thread_id: "other", checkpoint_ns: "tools:1" },
      { thread_id: "t", checkpoint_ns: "" },
      { thread_id: "t", checkpoint_ns: "tools:2" },
    ]);
    await converse(second, at("t"), { from: 9, steps: 1 });
    expect(await namespaces()).toEqual([
      { thread_id: "other", checkpoint_ns: "tools:1" },
      { thread_id: "t", checkpoint_ns: "" },
    ]);
  });

  it("is all of it when that is asked for, and nothing of a deleted thread", async () => {
    const saver = await db.open(Infinity);
    await converse(saver, at("t"), { steps: 20 });
    await converse(saver, at("t", "tools:1"), { from: 20, steps: 2 });
    await converse(saver, at("u"), { steps: 1 });
    expect(await counts()).toEqual({ checkpoints: 23, checkpoint_blobs: 48, checkpoint_writes: 23 });
    // A background task has a thread of its own.
    await converse(saver, at("t/background/1"), { steps: 1 });
    await saver.deleteThread("t");
    expect(await saver.getTuple(at("t"))).toBeUndefined();
    expect(await counts()).toEqual({ checkpoints: 1, checkpoint_blobs: 3, checkpoint_writes: 1 });
  });
});

it("is set up by many processes at once", async () => {
  const savers = await Promise.all(Array.from({ length: 8 }, () => db.open()));
  await converse(savers[0]!, at("t"), { steps: 1 });
  expect(await savers[7]!.getTuple(at("t"))).toBeDefined();
  // Again, on tables that are there.
  await db.open();
});

describe("a database that can't be used", () => {
  const refused = async (url: string, schema?: string): Promise<Error> =>
    createPostgresCheckpointer({ url, schema }).then(
      () => expect.unreachable("the database should have been refused"),
      (error: Error) => error,
    );
  const changed = (change: (url: URL) => void): string => {
    const url = new URL(server);
    change(url);
    return url.href;
  };

  it.each([
    [
      "a wrong password",
      (url: URL) => void (url.password = "not%20the%20password"),
      /password authentication failed.*Check the user and the password/,
    ],
    [
      "a database that isn't there",
      (url: URL) => void (url.pathname = "/nowhere"),
      /"nowhere" does not exist.*Create the database/,
    ],
    [
      "a server that is away",
      (url: URL) => void Object.assign(url, { hostname: "127.0.0.1", port: "1" }),
      /127\.0\.0\.1:1\/.*ECONNREFUSED.*Check the address/,
    ],
    ["a host that isn't there", (url: URL) => void (url.hostname = "no.invalid"), /no\.invalid.*Check the address/],
  ])("says so in one line: %s", async (_what, change, words) => {
    const url = changed(change);
    const error = await refused(url);
    expect(error).toMatchObject({ name: "AgentError", code: "checkpoint" });
    expect(error.message).toMatch(words);
    expect(error.message).not.toContain("\n");
    const password = decodeURIComponent(new URL(url).password);
    expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain(password);
  });

  it("says so when the user may not make tables", async () => {
    const role = `${db.schema}_reader`;
    await db.query(`CREATE ROLE ${role} LOGIN PASSWORD 'reader-pw'`);
    try {
      const url = changed((url) => Object.assign(url, { username: role, password: "reader-pw" }));
      expect((await refused(url, db.schema)).message).toMatch(/permission denied.*Give the user the right/);
    } finally {
      await db.query(`DROP ROLE ${role}`);
    }
  });
});

describe("a database that goes away", () => {
  /** Stands between checkpointer and server, and can be cut. */
  let proxy: Server;
  let port: number;
  const sockets = new Set<Socket>();
  const listen = async (): Promise<void> => {
    proxy = createServer((near) => {
      const far = connect(Number(server.port || "5432"), server.hostname);
      for (const socket of [near, far]) {
        sockets.add(socket);
        socket.on("error", () => {}).on("close", () => sockets.delete(socket));
      }
      near.pipe(far).pipe(near);
    });
    await once(proxy.listen(port, "127.0.0.1"), "listening");
    port = (proxy.address() as { port: number }).port;
  };
  const cut = async (): Promise<void> => {
    const closed = once(proxy, "close");
    proxy.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  const through = (): string => {
    const url = new URL(server);
    Object.assign(url, { hostname: "127.0.0.1", port: String(port) });
    return url.href;
  };
  beforeEach(async () => {
    port = 0;
    await listen();
  });
  afterEach(() => cut());

  it("is waited for, with idle and busy connections, and nothing is lost", async () => {
    const saver = await createPostgresCheckpointer({ url: through(), schema: db.schema });
    try {
      await converse(saver, at("t"), { steps: 3 });
      await cut();
      const going = converse(saver, (await (await db.open()).getTuple(at("t")))!.config, { from: 3, steps: 30 });
      await listen();
      // By its step: how many there are goes up and down.
      const gone = "SELECT 1 FROM SCHEMA.checkpoints WHERE (metadata ->> 'step')::int > 5";
      await vi.waitUntil(async () => (await db.query(gone)).length > 0, until);
      await cut();
      await listen();
      const messages = await going;
      expect((await saver.getTuple(at("t")))?.checkpoint.channel_values["messages"]).toEqual(messages);
    } finally {
      await saver.close();
    }
  });

  it("can be closed twice, and refuses work after it", async () => {
    const saver = await createPostgresCheckpointer({ url: through(), schema: db.schema });
    await saver.close();
    await saver.close();
    await expect(saver.getTuple(at("t"))).rejects.toMatchObject({ code: "checkpoint" });
  });
});

it("lets a run go on after kill -9, with each finished effect done once and the unknown one told", async () => {
  const execute = (command: string): ScriptedToolCall => ({ name: "execute", args: { command } });
  const task = { name: "task", args: { description: "Dig deep", subagent_type: "general-purpose" } };
  const slow = "echo slow >> effects; touch started; while [ ! -e go ]; do sleep 0.02; done";
  await using bench = await openWorkbench([
    {
      name: "sub",
      match: { human: "Dig deep" },
      turns: [{ toolCalls: [execute("echo deep >> effects")] }, { toolCalls: [execute(slow)] }, { text: "Dug." }],
    },
    {
      name: "main",
      turns: [{ toolCalls: [execute("echo first >> effects")] }, { toolCalls: [task] }, { text: "Done." }],
    },
  ]);
  const script = fileURLToPath(new URL("../__fixtures__/run-on-postgres.ts", import.meta.url));
  const args = ["--conditions=@stigmer/source", script, bench.directory, bench.model.url, db.url, db.schema];
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
  await vi.waitUntil(() => existsSync(join(bench.sandbox.root, "started")), until);
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
  writeFileSync(join(bench.sandbox.root, "go"), "");

  const ledger = await createSqliteLedger({ path: join(bench.directory, "ledger.db") });
  try {
    const agent = await bench.agent({ checkpointer: await db.open(), ledger: ledger.forRun("aex-1") });
    const run = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
    expect(run.position).toBe("resumed");
    expect(answer(await collect(run))).toBe("Done.");
    const done = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
    expect(done.position).toBe("finished");
    expect(done.messages.map(({ type }) => type)).toEqual(["human", "ai", "tool", "ai", "tool", "ai"]);
  } finally {
    ledger.close();
  }
  expect(readFileSync(join(bench.sandbox.root, "effects"), "utf8").trim().split("\n")).toEqual([
    "first",
    "deep",
    "slow",
  ]);
  expect(bench.model.requests.map(({ scenario, turn }) => `${scenario} ${turn}`)).toEqual([
    "main 0",
    "main 1",
    "sub 0",
    "sub 1",
    "sub 2",
    "main 2",
  ]);
  expect(JSON.stringify(bench.model.requests[4]!.body)).toContain("outcome of this call is unknown");
  const namespaces = await db.query("SELECT DISTINCT checkpoint_ns FROM SCHEMA.checkpoints");
  expect(namespaces).toEqual([{ checkpoint_ns: "" }]);
});
