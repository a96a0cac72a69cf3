import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, expect, it } from "vitest";
import { collect, openWorkbench, type Workbench } from "../__fixtures__/workbench.ts";

let bench: Workbench;
let database: DatabaseSync | undefined;
afterEach(async () => {
  database?.close();
  database = undefined;
  await bench[Symbol.asyncDispose]();
});

const tables = ["checkpoints", "channel_values", "writes"] as const;
type Rows = Record<(typeof tables)[number], number>;

function count(where = ""): Rows {
  const reader = (database ??= new DatabaseSync(join(bench.directory, "checkpoints.db"), { readOnly: true }));
  const rows = tables.map((table) => [
    table,
    reader.prepare(`SELECT count(*) AS n FROM ${table} ${where}`).get()?.["n"],
  ]);
  return Object.fromEntries(rows) as Rows;
}

const most = (samples: readonly Rows[], table: keyof Rows): number => Math.max(...samples.map((rows) => rows[table]));

const write = (step: number): ScriptedToolCall => ({
  name: "write_file",
  args: { file_path: "note.txt", content: `${step}` },
});
const task = (description: string): ScriptedToolCall => ({
  name: "task",
  args: { description, subagent_type: "general-purpose" },
});
const steps = (length: number) => Array.from({ length }, (_, step) => ({ toolCalls: [write(step)] }));

it(
  "keeps as much of a long run with sub-agents as of a short one, and of an ended one no sub-agent",
  { timeout: 90_000 },
  async () => {
    bench = await openWorkbench([
      { name: "sub", match: { human: "Dig" }, turns: [...steps(8), { text: "Report." }] },
      {
        name: "main",
        turns: [
          ...Array.from({ length: 3 }, () => ({ toolCalls: [task("Dig here"), task("Dig there")] })),
          { text: "Done." },
        ],
      },
    ]);
    // By the step of the root graph that they were counted in.
    const samples: Rows[][] = [[]];
    let puts = 0;
    const put = bench.checkpointer.putNext.bind(bench.checkpointer);
    bench.checkpointer.putNext = async (config, ...rest) => {
      const done = await put(config, ...rest);
      puts += 1;
      if ((config.configurable?.["checkpoint_ns"] ?? "") === "") samples.push([]);
      samples.at(-1)?.push(count());
      return done;
    };
    const run = await (await bench.agent()).open({ threadId: "t", runId: "r", input: "Go." });
    await collect(run);

    expect(puts).toBeGreaterThan(100);
    // Steps in which the sub-agents worked: one for each of the three turns.
    const busy = samples.filter(({ length }) => length > 25);
    expect(busy).toHaveLength(3);
    for (const table of tables) {
      const [early, late] = [most(busy[0] ?? [], table), most(busy[2] ?? [], table)];
      expect(late, table).toBeLessThanOrEqual(early + 20);
    }
    // Twice what is kept (4) of the root and of each of the two sub-agents, at most.
    expect(most(samples.flat(), "checkpoints")).toBeLessThanOrEqual(3 * 8);
    expect(count("WHERE checkpoint_ns <> ''")).toEqual({ checkpoints: 0, channel_values: 0, writes: 0 });
    expect(count().checkpoints).toBeLessThanOrEqual(8);

    await bench.checkpointer.deleteThread("t");
    expect(count()).toEqual({ checkpoints: 0, channel_values: 0, writes: 0 });
  },
);

it("deletes a thread whole that was stopped within a sub-agent, and no other", async () => {
  bench = await openWorkbench([
    { name: "sub", match: { human: "Dig" }, turns: [...steps(3), { text: "Report." }] },
    { name: "main", turns: [{ toolCalls: [task("Dig here")] }, { text: "Done." }] },
  ]);
  const agent = await bench.agent();
  for (const threadId of ["stopped", "other"]) {
    const stop = new AbortController();
    const run = await agent.open({ threadId, runId: "r", input: "Go." });
    const read = async (): Promise<void> => {
      for await (const { mode, data } of run.events({ signal: stop.signal })) {
        const { event, name } = data as { event?: string; name?: string };
        if (mode === "tools" && event === "on_tool_end" && name === "write_file") stop.abort(new Error("stopped"));
      }
    };
    await expect(read()).rejects.toThrow("stopped");
  }
  const inSubAgent = "WHERE thread_id = 'stopped' AND checkpoint_ns <> ''";
  expect(count(inSubAgent).checkpoints).toBeGreaterThan(0);
  const other = count("WHERE thread_id = 'other'");
  await bench.checkpointer.deleteThread("stopped");
  expect(count("WHERE thread_id = 'stopped'")).toEqual({ checkpoints: 0, channel_values: 0, writes: 0 });
  expect(count("WHERE thread_id = 'other'")).toEqual(other);
});
