import type { RunnableConfig } from "@langchain/core/runnables";
import { INTERRUPT } from "@langchain/langgraph";
import {
  type ChannelVersions,
  type Checkpoint,
  emptyCheckpoint,
  MemorySaver,
  uuid6,
} from "@langchain/langgraph-checkpoint";
import { expect, it, vi } from "vitest";
import { createWriteBehind, type RunWrites } from "./run-writes.ts";

const at = (thread: string) => ({ configurable: { thread_id: thread, checkpoint_ns: "" } });

interface Put {
  readonly after?: RunnableConfig;
  readonly versions?: ChannelVersions;
}

function world(options?: { flushEach: boolean }) {
  const log: string[] = [];
  let trouble: Error | undefined;
  const inner = Object.assign(new MemorySaver(), { flush: async () => void log.push("flush") });
  const put = inner.put.bind(inner);
  const puts: object[] = [];
  inner.put = async (config, checkpoint, metadata, newVersions: ChannelVersions = {}) => {
    if (trouble) throw trouble;
    puts.push({ config, newVersions });
    log.push(`put ${(metadata as { step: number }).step}`);
    return put(config, checkpoint, metadata);
  };
  const behind = createWriteBehind(inner, options);
  let step = 0;
  return {
    log,
    puts: puts as readonly { readonly config: RunnableConfig; readonly newVersions: ChannelVersions }[],
    behind,
    breakDisk: (error: Error) => (trouble = error),
    /** Resolves when LangGraph may go on. */
    put: async (thread: string, { after = at(thread), versions = {} }: Put = {}) => {
      step += 1;
      const checkpoint: Checkpoint = { ...emptyCheckpoint(), id: uuid6(step) };
      return behind.checkpointer.put(after, checkpoint, { source: "loop", step, parents: {} }, versions);
    },
    /** A result that is on its way until `resolve` or `reject`. */
    result: (run: RunWrites) => {
      const way = Promise.withResolvers<void>();
      run.follow(way.promise);
      return way;
    },
  };
}

it("writes in a checkpoint's place the one that follows it, with what is new in both", async () => {
  const { behind, log, put, puts } = world();
  const run = behind.open("t");
  const first = await put("t", { versions: { a: 1, b: 1 } });
  const second = await put("t", { after: first, versions: { b: 2 } });
  expect(log).toEqual([]);
  await run.settled();
  expect(log).toEqual(["put 2", "flush"]);
  expect(puts).toEqual([{ config: at("t"), newVersions: { a: 1, b: 2 } }]);
  await put("t", { after: second });
  run.release();
  await run.written();
  expect(log).toEqual(["put 2", "flush", "put 3"]);
  expect(puts[1]?.config).toEqual(second);
});

it("writes both of two checkpoints of which none follows the other", async () => {
  const { behind, log, put } = world();
  const run = behind.open("t");
  await put("t");
  await put("t");
  run.release();
  await run.written();
  expect(log).toEqual(["put 1", "put 2"]);
});

it("brings nothing back of a thread that was deleted", async () => {
  const { behind, put } = world();
  const run = behind.open("t");
  await put("t");
  await behind.checkpointer.deleteThread("t");
  await run.settled();
  expect(await behind.checkpointer.getTuple(at("t"))).toBeUndefined();
});

it("keeps a checkpoint back for a moment alone", async () => {
  const { behind, log, put } = world();
  behind.open("t");
  await put("t");
  expect(log).toEqual([]);
  await vi.waitFor(() => expect(log).toEqual(["put 1"]));
});

it("has each checkpoint outlive a power cut when nobody asks for that later", async () => {
  const { behind, log, put } = world({ flushEach: true });
  behind.open("t");
  const config = await put("t");
  await behind.checkpointer.putWrites(config, [["messages", []]], "task");
  expect(log).toEqual(["put 1", "flush", "flush"]);
});

it("writes checkpoints behind the results that were on their way, in their order, and no other thread's", async () => {
  const { behind, log, put, result } = world();
  const run = behind.open("t");
  const [first, second] = [result(run), result(run)];
  const accepted = await put("t");
  expect(accepted.configurable).toMatchObject({ thread_id: "t", checkpoint_ns: "" });
  await put("u");
  first.resolve();
  await put("t");
  expect(log).toEqual(["put 2"]);
  const settled = run.settled().then(() => log.push("settled"));
  second.resolve();
  await settled;
  expect(log).toEqual(["put 2", "put 1", "put 3", "flush", "settled"]);
});

it("gives back what was accepted, once that is written", async () => {
  const { behind, put, result } = world();
  const run = behind.open("t");
  const way = result(run);
  const accepted = await put("t");
  const read = behind.checkpointer.getTuple(at("t"));
  way.resolve();
  expect((await read)?.config.configurable?.["checkpoint_id"]).toBe(accepted.configurable?.["checkpoint_id"]);
});

it("writes no checkpoint behind a result that can't be written, nor any later one", async () => {
  const { behind, log, put, result } = world();
  const run = behind.open("t");
  const lost = new Error("the fence is old");
  const [way, other] = [result(run), result(run)];
  await put("t");
  way.reject(lost);
  other.resolve();
  await expect(run.written()).rejects.toBe(lost);
  await put("t");
  await expect(run.settled()).rejects.toBe(lost);
  expect(run.failed.reason).toBe(lost);
  expect(log).toEqual([]);
  await run.close();
  expect(behind.of("t")).toBeUndefined();
  // The next run of the thread is another matter.
  await behind.open("t").settled();
});

it("ends a run whose accepted checkpoint can't be written", async () => {
  const { behind, put, result, breakDisk } = world();
  const run = behind.open("t");
  const full = new Error("disk full");
  breakDisk(full);
  await put("t");
  run.release();
  await expect(run.written()).rejects.toBe(full);
  const way = result(run);
  await put("t");
  way.resolve();
  await expect(run.settled()).rejects.toBe(full);
  await run.close();
});

it("waits at its close for what is on its way, well or not", async () => {
  const { behind, result, log } = world();
  const run = behind.open("t");
  const way = result(run);
  const closed = run.close().then(() => log.push("closed"));
  expect(behind.of("t")).toBe(run);
  log.push("rejected");
  way.reject(new Error("gone"));
  await closed;
  expect(log).toEqual(["rejected", "closed"]);
});

it("writes before its close resolves what comes while that waits", async () => {
  const { behind, log, put, result } = world();
  const run = behind.open("t");
  const way = result(run);
  const closed = run.close();
  await put("t");
  way.resolve();
  await closed;
  expect(log).toEqual(["put 1"]);
});

function keeping() {
  const log: string[] = [];
  const inner = Object.assign(new MemorySaver(), { flush: async () => void log.push("flush") });
  const { put, putWrites } = inner;
  inner.put = async (...args) => {
    log.push("put");
    return put.apply(inner, args);
  };
  inner.putWrites = async (config, writes, taskId) => {
    log.push(`${taskId}: ${writes.map(([channel]) => channel).join()}`);
    return putWrites.call(inner, config, writes, taskId);
  };
  const behind = createWriteBehind(inner);
  const first = { configurable: { thread_id: "t", checkpoint_ns: "", checkpoint_id: emptyCheckpoint().id } };
  const next = (config: typeof first | RunnableConfig) =>
    behind.checkpointer.put(
      config,
      { ...emptyCheckpoint(), id: uuid6(1) },
      { source: "loop", step: 1, parents: {} },
      {},
    );
  return {
    log,
    behind,
    first,
    next,
    give: (...args: Parameters<typeof putWrites>) => behind.checkpointer.putWrites(...args),
  };
}

it("does not write down what a step's tasks gave when the checkpoint with all of it comes next", async () => {
  const { behind, log, first, next, give } = keeping();
  const run = behind.open("t");
  await give(first, [["messages", []]], "a");
  await give(first, [["messages", []]], "b");
  await next(first);
  await run.settled();
  expect(log).toEqual(["put", "flush"]);
});

it("writes what a task gave when its step goes on, or is asked for", async () => {
  const { behind, log, first, give } = keeping();
  behind.open("t");
  await give(first, [["messages", []]], "slow step");
  expect(log).toEqual([]);
  await expect.poll(() => log).toEqual(["slow step: messages"]);
  await give(first, [["messages", []]], "read");
  await behind.checkpointer.getTuple(first);
  expect(log.at(-1)).toBe("read: messages");
});

it.each(["settled", "close"] as const)("writes what is kept back before %s resolves", async (end) => {
  const { behind, log, first, give } = keeping();
  const run = behind.open("t");
  await give(first, [["messages", []]], "a");
  await run[end]();
  expect(log[0]).toBe("a: messages");
});

it("writes what a task gave before another's interrupt, after which no checkpoint comes", async () => {
  const { behind, log, first, give } = keeping();
  const run = behind.open("t");
  await give(first, [["messages", []]], "a");
  await give(first, [[INTERRUPT, {}]], "b");
  await run.written();
  expect(log).toEqual(["a: messages", `b: ${INTERRUPT}`]);
});

it("keeps back what belongs to another graph of the thread when a checkpoint comes", async () => {
  const { behind, log, first, next, give } = keeping();
  const run = behind.open("t");
  await give({ configurable: { ...first.configurable, checkpoint_ns: "tools:1" } }, [["messages", []]], "below");
  await next(first);
  await run.settled();
  expect(log).toEqual(["put", "below: messages", "flush"]);
});
