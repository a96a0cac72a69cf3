import type { RunnableConfig } from "@langchain/core/runnables";
import { type Checkpoint, emptyCheckpoint, uuid6 } from "@langchain/langgraph-checkpoint";
import { expect, it } from "vitest";
import type { SqliteCheckpointer } from "../checkpointer/create-sqlite-checkpointer.ts";

/** What every checkpointer of ours does. */
type Checkpointer = Omit<SqliteCheckpointer, "flush" | "close">;

export const at = (thread: string, namespace = ""): RunnableConfig => ({
  configurable: { thread_id: thread, checkpoint_ns: namespace },
});

let steps = 0;
let threads = 0;
export const newThread = (): string => `thread-${(threads += 1)}`;

/** A checkpoint that is younger than all before it, and says who made it. */
export function made(by: string): Checkpoint {
  const step = (steps += 1);
  return {
    ...emptyCheckpoint(),
    id: uuid6(step),
    channel_values: { by, messages: [`of ${by} `.repeat(50)] },
    channel_versions: { by: step, messages: step },
  };
}

export function put(saver: Checkpointer, after: RunnableConfig, checkpoint: Checkpoint): Promise<RunnableConfig> {
  return saver.putNext(after, checkpoint, { source: "loop", step: 1, parents: {} }, checkpoint.channel_versions);
}

export async function lastOf(saver: Checkpointer, config: RunnableConfig): Promise<unknown> {
  return (await saver.getTuple(config))?.checkpoint.channel_values["by"];
}

const conflict = expect.objectContaining({ code: "checkpoint-conflict" });

/** `open`: another connection to the same place, as another process would have it. */
export function keepsCheckpointsInOrder(open: () => Promise<Checkpointer>): void {
  it("puts what follows the latest", async () => {
    const saver = await open();
    const thread = newThread();
    const first = await put(saver, at(thread), made("one"));
    const second = made("two");
    const stored = await put(saver, first, second);
    expect(stored.configurable).toEqual({ thread_id: thread, checkpoint_ns: "", checkpoint_id: second.id });
    expect((await saver.getTuple(at(thread)))?.parentConfig).toEqual(first);
    expect(await lastOf(saver, at(thread))).toBe("two");
  });

  it("takes an empty id for none", async () => {
    const saver = await open();
    const thread = newThread();
    const none: RunnableConfig = { configurable: { ...at(thread).configurable, checkpoint_id: "" } };
    await put(saver, none, made("one"));
    expect(await lastOf(saver, at(thread))).toBe("one");
    await expect(put(saver, none, made("another"))).rejects.toEqual(conflict);
  });

  it("refuses what somebody else was faster than, and keeps nothing of it", async () => {
    const [woken, successor] = [await open(), await open()];
    const thread = newThread();
    const seen = await put(woken, at(thread), made("both"));
    await put(successor, seen, made("successor"));
    const late = made("woken");
    await expect(put(woken, seen, late)).rejects.toEqual(conflict);
    await expect(put(woken, seen, late)).rejects.toThrow(`The conversation ${thread} has gone on without this run`);
    expect(await lastOf(woken, at(thread))).toBe("successor");
    const ids = await Array.fromAsync(successor.list(at(thread)), ({ checkpoint }) => checkpoint.id);
    expect(ids).toHaveLength(2);
    expect(ids).not.toContain(late.id);
  });

  it("refuses a first one where there are some", async () => {
    const saver = await open();
    const thread = newThread();
    await put(saver, at(thread), made("one"));
    await expect(put(saver, at(thread), made("another"))).rejects.toEqual(conflict);
    expect(await lastOf(saver, at(thread))).toBe("one");
  });

  it("refuses one with a time before that of the one that it follows, which would never be found", async () => {
    const saver = await open();
    const thread = newThread();
    const early = made("early");
    const first = await put(saver, at(thread), made("one"));
    await expect(put(saver, first, early)).rejects.toEqual(conflict);
    await expect(put(saver, first, early)).rejects.toThrow(/^The clock of this machine went back: /u);
    expect(await lastOf(saver, at(thread))).toBe("one");
  });

  it("takes the same one again, as after an answer that was lost", async () => {
    const saver = await open();
    const thread = newThread();
    const first = await put(saver, at(thread), made("one"));
    const second = made("two");
    await put(saver, first, second);
    await put(saver, first, second);
    expect(await Array.fromAsync(saver.list(at(thread)))).toHaveLength(2);
  });

  it("looks at each graph of a thread by itself, and at each thread", async () => {
    const saver = await open();
    const thread = newThread();
    await put(saver, at(thread), made("root"));
    await put(saver, at(thread, "tools:1"), made("sub-graph"));
    await put(saver, at(newThread()), made("other"));
    expect(await lastOf(saver, at(thread))).toBe("root");
    expect(await lastOf(saver, at(thread, "tools:1"))).toBe("sub-graph");
  });

  it("brings no thread back that was deleted", async () => {
    const saver = await open();
    const thread = newThread();
    const first = await put(saver, at(thread), made("one"));
    await saver.deleteThread(thread);
    await expect(put(saver, first, made("two"))).rejects.toEqual(conflict);
    expect(await saver.getTuple(at(thread))).toBeUndefined();
    // Whoever begins a conversation of this name begins it.
    await put(saver, at(thread), made("three"));
    expect(await lastOf(saver, at(thread))).toBe("three");
  });

  it("takes what a sub-graph has to say of which nothing is there any more", async () => {
    const saver = await open();
    const thread = newThread();
    const root = await put(saver, at(thread), made("root"));
    await put(saver, await put(saver, at(thread, "tools:1"), made("sub-graph")), made("sub-graph"));
    await put(saver, root, made("root"));
    const gone: RunnableConfig = { configurable: { ...at(thread, "tools:2").configurable, checkpoint_id: uuid6(0) } };
    await put(saver, gone, made("other sub-graph"));
    expect(await lastOf(saver, at(thread, "tools:2"))).toBe("other sub-graph");
  });

  it("takes one of those that come at the same moment", async () => {
    const savers = [await open(), await open(), await open()];
    for (let round = 0; round < 10; round += 1) {
      const thread = newThread();
      const seen = await put(savers[0]!, at(thread), made("all"));
      const puts = savers.map((saver, index) => put(saver, seen, made(`saver ${index}`)));
      const settled = await Promise.allSettled(puts);
      const winner = settled.findIndex(({ status }) => status === "fulfilled");
      expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      expect(settled.filter(({ status }) => status === "rejected")).toEqual(
        [0, 1].map(() => expect.objectContaining({ reason: conflict })),
      );
      expect(await lastOf(savers[0]!, at(thread))).toBe(`saver ${winner}`);
    }
  });
}
