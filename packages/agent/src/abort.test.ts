import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { collect, openWorkbench, type Workbench } from "./__fixtures__/workbench.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

/** Not one that is dead and only waits for its parent to notice. */
function isAlive(pid: number): boolean {
  const { stdout } = spawnSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" });
  return /^[^Z\s]/.test(stdout.trim());
}

const until = { timeout: 10_000, interval: 10 };

it("ends a command's processes with the run, before the events end", async () => {
  const command = "sh -c 'echo $$ > child.pid; sleep 300' & echo $$ > pid; wait";
  bench = await openWorkbench([{ name: "main", turns: [{ toolCalls: [{ name: "execute", args: { command } }] }] }]);
  const agent = await bench.agent();
  const stop = new AbortController();
  const events = collect(await agent.open({ threadId: "t", runId: "r", input: "Go." }), { signal: stop.signal });
  const pids = ["pid", "child.pid"].map((name) => join(bench.sandbox.root, name));
  await vi.waitUntil(() => pids.every((file) => existsSync(file) && readFileSync(file, "utf8").includes("\n")), until);
  const alive = pids.map((file) => Number(readFileSync(file, "utf8")));
  expect(alive.map(isAlive)).toEqual([true, true]);
  const reason = new Error("enough");
  stop.abort(reason);
  await expect(events).rejects.toBe(reason);
  expect(alive.map(isAlive)).toEqual([false, false]);
});

it("ends them also when the reader stops reading", async () => {
  const command = "echo $$ > pid; echo started; sleep 300";
  bench = await openWorkbench([{ name: "main", turns: [{ toolCalls: [{ name: "execute", args: { command } }] }] }]);
  const run = await (await bench.agent()).open({ threadId: "t", runId: "r", input: "Go." });
  for await (const { mode, data } of run.events()) {
    if (mode === "tools" && (data as { event: string }).event === "on_tool_event") break;
  }
  expect(isAlive(Number(readFileSync(join(bench.sandbox.root, "pid"), "utf8")))).toBe(false);
});

it("lets go of the model in mid-answer", async () => {
  bench = await openWorkbench([{ name: "main", turns: [{ text: "word ".repeat(1000), chunkDelayMs: 20 }] }]);
  const run = await (await bench.agent()).open({ threadId: "t", runId: "r", input: "Go." });
  const stop = new AbortController();
  const reason = new Error("enough");
  let seen = 0;
  const read = async (): Promise<void> => {
    for await (const { mode } of run.events({ signal: stop.signal }))
      if (mode === "messages" && (seen += 1) === 3) stop.abort(reason);
  };
  await expect(read()).rejects.toBe(reason);
  await vi.waitUntil(() => bench.model.requests[0]!.outcome === "abandoned", until);
});

it("does nothing when it is aborted before it starts", async () => {
  bench = await openWorkbench([{ name: "main", turns: [{ text: "Hi." }] }]);
  const run = await (await bench.agent()).open({ threadId: "t", runId: "r", input: "Go." });
  const reason = new Error("too late");
  await expect(collect(run, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect(bench.model.requests).toEqual([]);
});

it("refuses to run twice", async () => {
  bench = await openWorkbench([{ name: "main", turns: [{ text: "Hi." }] }]);
  const run = await (await bench.agent()).open({ threadId: "t", runId: "r", input: "Go." });
  await collect(run);
  await expect(collect(run)).rejects.toThrow(/asked for twice/);
});
