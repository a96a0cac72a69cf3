import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Scenario, ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, expect, it, vi } from "vitest";
import { answer, collect, openWorkbench, type Workbench } from "./__fixtures__/workbench.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const execute = (command: string): ScriptedToolCall => ({ name: "execute", args: { command } });
const inWork = (file: string): string => join(bench.sandbox.root, file);
const effects = (): string[] => readFileSync(inWork("effects"), "utf8").trim().split("\n");

function startChild(): ChildProcess {
  const script = fileURLToPath(new URL("__fixtures__/run-until-killed.ts", import.meta.url));
  const args = ["--conditions=@stigmer/source", script, bench.directory, bench.model.url];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
  child.stderr?.pipe(process.stderr);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

async function storedResults(namespace: RegExp): Promise<number> {
  let count = 0;
  for await (const { config, pendingWrites } of bench.checkpointer.list(
    { configurable: { thread_id: "t" } },
    { limit: 2 },
  )) {
    if (!namespace.test(config.configurable?.["checkpoint_ns"] as string)) continue;
    count += pendingWrites?.filter(([, channel]) => channel === "messages").length ?? 0;
  }
  return count;
}

/** Has its effect, says so, and then takes as long as it takes. */
const slow = "echo slow >> effects; touch started; while [ ! -e go ]; do sleep 0.02; done";

it("goes on where a killed process stopped: what had ended is not done again", async () => {
  bench = await openWorkbench([
    {
      name: "main",
      turns: [
        { toolCalls: [execute("echo first >> effects")] },
        { toolCalls: [execute("echo quick >> effects"), execute(slow)] },
        { text: "Done." },
      ],
    },
  ]);
  const child = startChild();
  // Killed once the quick tool's result is stored and the slow one has begun.
  await vi.waitUntil(() => existsSync(inWork("started")), { timeout: 20_000, interval: 20 });
  await vi.waitUntil(async () => (await storedResults(/^$/)) > 0, { timeout: 20_000, interval: 20 });
  await kill(child);
  writeFileSync(inWork("go"), "");
  expect(bench.model.requests).toHaveLength(2);

  const agent = await bench.agent();
  const run = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
  expect(run.position).toBe("resumed");
  // With the result that stands beside the checkpoint, waiting for the slow one.
  expect(run.messages.map(({ type }) => type)).toEqual(["human", "ai", "tool", "ai", "tool"]);
  const events = await collect(run);
  expect(answer(events)).toBe("Done.");
  // The slow one was on its way: it runs again, with the same call id.
  expect(effects().toSorted()).toEqual(["first", "quick", "slow", "slow"]);
  expect(bench.model.requests).toHaveLength(3);
  const done = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
  expect(done.position).toBe("finished");
  expect(done.messages.map(({ type }) => type)).toEqual(["human", "ai", "tool", "ai", "tool", "tool", "ai"]);
});

it("goes on inside a sub-agent", async () => {
  const sub: Scenario["turns"] = [
    { toolCalls: [execute("echo first >> effects")] },
    { toolCalls: [execute(slow)] },
    { text: "Report." },
  ];
  const task = { name: "task", args: { description: "Dig deep", subagent_type: "general-purpose" } };
  bench = await openWorkbench([
    { name: "sub", match: { human: "Dig deep" }, turns: sub },
    { name: "main", turns: [{ toolCalls: [task] }, { text: "Done." }] },
  ]);
  const child = startChild();
  await vi.waitUntil(() => existsSync(inWork("started")), { timeout: 20_000, interval: 20 });
  await kill(child);
  writeFileSync(inWork("go"), "");

  const run = await (await bench.agent()).open({ threadId: "t", runId: "aex-1", input: "Go." });
  expect(run.position).toBe("resumed");
  expect(answer(await collect(run))).toBe("Done.");
  expect(effects()).toEqual(["first", "slow", "slow"]);
  expect(bench.model.requests.map(({ scenario, turn }) => `${scenario} ${turn}`)).toEqual([
    "main 0",
    "sub 0",
    "sub 1",
    "sub 2",
    "main 1",
  ]);
});

it("goes on after the model failed, and keeps what was done", async () => {
  bench = await openWorkbench([
    {
      name: "main",
      turns: [
        { toolCalls: [execute("echo first >> effects")] },
        { error: { status: 529, message: "Overloaded", times: 1 }, text: "Done." },
      ],
    },
  ]);
  const agent = await bench.agent();
  const failing = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
  await expect(collect(failing)).rejects.toMatchObject({ code: "model-overloaded" });
  const run = await agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
  expect(run.position).toBe("resumed");
  expect(answer(await collect(run))).toBe("Done.");
  expect(effects()).toEqual(["first"]);
});

it("starts the next run of a thread whose last one was stopped in a tool", async () => {
  bench = await openWorkbench([
    { name: "stopped", match: { human: "Go." }, turns: [{ toolCalls: [execute(slow)] }] },
    { name: "next", turns: [{ text: "Hello again." }] },
  ]);
  const agent = await bench.agent();
  const stop = new AbortController();
  const stopped = collect(await agent.open({ threadId: "t", runId: "aex-1", input: "Go." }), { signal: stop.signal });
  await vi.waitUntil(() => existsSync(inWork("started")), { timeout: 10_000, interval: 20 });
  const reason = new Error("cancelled by the test");
  stop.abort(reason);
  await expect(stopped).rejects.toBe(reason);

  const next = await agent.open({ threadId: "t", runId: "aex-2", input: "And now?" });
  expect(next.position).toBe("fresh");
  expect(answer(await collect(next))).toBe("Hello again.");
  const asked = JSON.stringify(bench.model.requests.at(-1)!.body);
  expect(asked).toContain("was cancelled");
  expect((await agent.open({ threadId: "t", runId: "aex-1", input: "Go." })).position).toBe("finished");
});
