import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Scenario, ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, expect, it, vi } from "vitest";
import { answer, collect, openWorkbench, type Workbench } from "../__fixtures__/workbench.ts";
import type { Agent, AgentEvent, AgentRun, SteeringMessage } from "../agent.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const until = { timeout: 20_000, interval: 10 };
const inWork = (file: string): string => join(bench.sandbox.root, file);
const began = (name: string): Promise<unknown> => vi.waitUntil(() => existsSync(inWork(`${name}.began`)), until);
const effects = (): string[] => readFileSync(inWork("effects"), "utf8").trim().split("\n");

const execute = (command: string): ScriptedToolCall => ({ name: "execute", args: { command } });
const quick = (name: string): ScriptedToolCall => execute(`echo ${name} >> effects`);
const slow = (name: string): ScriptedToolCall =>
  execute(`touch ${name}.began; while [ ! -e ${name}.go ]; do sleep 0.02; done; echo ${name} >> effects`);

const open = (agent: Agent): Promise<AgentRun> => agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
const said = (id: string, text: string): SteeringMessage => ({ id, text });
const shape = ({ messages }: AgentRun): string[] =>
  messages.map(({ type, id, text }) => (type === "human" ? `human ${id}: ${text}` : type));

/** What the reader of the events is told that people said. */
function told(events: readonly AgentEvent[]): unknown[] {
  return events.flatMap(({ mode, namespace, data }) => {
    const { messages = [] } = mode === "updates" ? ((data as Record<string, never>)["inbox"] ?? {}) : {};
    return (messages as { id: string; text: string }[]).map(({ id, text }) => [namespace, id, text]);
  });
}

/** The human messages of a request to the model. */
function heardBy(request: { body: unknown }): string[] {
  const { messages } = request.body as { messages: { role: string; content: string | { text?: string }[] }[] };
  return messages.flatMap(({ role, content }) => {
    if (role !== "user") return [];
    return typeof content === "string" ? [content] : content.flatMap(({ text }) => text ?? []);
  });
}

const scenarios: Scenario[] = [
  { name: "steered", match: { human: "Also" }, turns: [{ toolCalls: [quick("also")] }, { text: "Both." }] },
  { name: "main", turns: [{ toolCalls: [slow("slow")] }, { text: "Done." }] },
];

it("tells the model with its next call what was said while tools ran, once", async () => {
  bench = await openWorkbench(scenarios);
  const agent = await bench.agent();
  const messages: SteeringMessage[] = [];
  const events = collect(await open(agent), { messages: () => messages });
  await began("slow");
  messages.push(said("m1", "Also this."), said("m2", "Also that."));
  writeFileSync(inWork("slow.go"), "");
  const all = await events;
  expect(answer(all)).toBe("Both.");
  expect(effects()).toEqual(["slow", "also"]);
  expect(told(all)).toEqual([
    [[], "aex-1/m1", "Also this."],
    [[], "aex-1/m2", "Also that."],
  ]);
  expect(bench.model.requests.map(heardBy)).toEqual([
    ["Go."],
    ["Go.", "Also this.", "Also that."],
    ["Go.", "Also this.", "Also that."],
  ]);

  const again = await open(agent);
  expect(again.position).toBe("finished");
  expect(shape(again)).toEqual([
    "human aex-1: Go.",
    "ai",
    "tool",
    "human aex-1/m1: Also this.",
    "human aex-1/m2: Also that.",
    "ai",
    "tool",
    "ai",
  ]);
  // The same messages once more: nothing is left to do.
  expect(await collect(again, { messages: () => messages })).toEqual([]);
});

it("goes on instead of ending when something was said during the last answer", async () => {
  bench = await openWorkbench([
    { name: "steered", match: { human: "Also" }, turns: [{ text: " And also." }] },
    { name: "main", turns: [{ text: "Done. ".repeat(5).trim(), chunkDelayMs: 10 }] },
  ]);
  const agent = await bench.agent();
  const messages: SteeringMessage[] = [];
  const events: AgentEvent[] = [];
  for await (const event of (await open(agent)).events({ messages: () => messages })) {
    if (event.mode === "messages" && messages.length === 0) messages.push(said("m", "Also?"));
    events.push(event);
  }
  expect(answer(events)).toBe("Done. Done. Done. Done. Done. And also.");
  expect(shape(await open(agent))).toEqual(["human aex-1: Go.", "ai", "human aex-1/m: Also?", "ai"]);
  expect(bench.model.requests).toHaveLength(2);
});

it("begins with what was said before it began", async () => {
  bench = await openWorkbench([{ name: "main", turns: [{ text: "Hi." }] }]);
  const agent = await bench.agent();
  const events = await collect(await open(agent), { messages: () => [said("m", "Hurry.")] });
  expect(told(events)).toEqual([[[], "aex-1/m", "Hurry."]]);
  expect(bench.model.requests.map(heardBy)).toEqual([["Go.", "Hurry."]]);
  expect(shape(await open(agent))).toEqual(["human aex-1: Go.", "human aex-1/m: Hurry.", "ai"]);
});

it("takes up a run that has ended when something was said that it had not heard, unless a later one has begun", async () => {
  bench = await openWorkbench([
    { name: "steered", match: { human: "Also" }, turns: [{ text: "Also done." }] },
    { name: "main", turns: [{ text: "Done." }] },
  ]);
  const agent = await bench.agent();
  await collect(await open(agent));
  const late = await open(agent);
  expect(late.position).toBe("finished");
  expect(answer(await collect(late, { messages: () => [said("m", "Also?")] }))).toBe("Also done.");
  await collect(await agent.open({ threadId: "t", runId: "aex-2", input: "Next." }));
  const messages = (): SteeringMessage[] => [said("m", "Also?"), said("n", "Also this?")];
  const older = await open(agent);
  expect(shape(older)).toEqual(["human aex-1: Go.", "ai", "human aex-1/m: Also?", "ai"]);
  expect(await collect(older, { messages })).toEqual([]);
});

it("leaves sub-agents to their task", async () => {
  const task = { name: "task", args: { description: "Dig", subagent_type: "general-purpose" } };
  bench = await openWorkbench([
    { name: "sub", match: { human: "Dig" }, turns: [{ toolCalls: [slow("sub")] }, { text: "Dug." }] },
    { name: "steered", match: { human: "Also" }, turns: [{ text: "Both." }] },
    { name: "main", turns: [{ toolCalls: [task] }, { text: "Done." }] },
  ]);
  const messages: SteeringMessage[] = [];
  const events = collect(await open(await bench.agent()), { messages: () => messages });
  await began("sub");
  messages.push(said("m", "Also?"));
  writeFileSync(inWork("sub.go"), "");
  expect(answer(await events)).toBe("Both.");
  expect(bench.model.requests.map((request) => [request.scenario, ...heardBy(request)])).toEqual([
    ["main", "Go."],
    ["sub", "Dig"],
    ["sub", "Dig"],
    ["steered", "Go.", "Also?"],
  ]);
});

it("is heard by a run that was at rest, when that goes on", async () => {
  bench = await openWorkbench(scenarios);
  const agent = await bench.agent();
  const messages: SteeringMessage[] = [];
  const pause = new AbortController();
  const events = collect(await open(agent), { messages: () => messages, pause: pause.signal });
  await began("slow");
  pause.abort(new Error("wait"));
  messages.push(said("m", "Also this."));
  writeFileSync(inWork("slow.go"), "");
  await expect(events).rejects.toBe(pause.signal.reason);
  const again = await open(agent);
  expect(shape(again)).toEqual(["human aex-1: Go.", "ai", "tool"]);
  expect(answer(await collect(again, { messages: () => messages }))).toBe("Both.");
  expect(effects()).toEqual(["slow", "also"]);
  expect(bench.model.requests).toHaveLength(3);
});

function startChild(): ChildProcess {
  const script = fileURLToPath(new URL("../__fixtures__/run-until-killed.ts", import.meta.url));
  const args = ["--conditions=@stigmer/source", script, bench.directory, bench.model.url];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
  child.stderr?.pipe(process.stderr);
  return child;
}

it.each(["before it heard", "after it heard"])("is heard once by a run that was killed %s", async (when) => {
  bench = await openWorkbench([
    { name: "steered", match: { human: "Also" }, turns: [{ toolCalls: [slow("also")] }, { text: "Both." }] },
    { name: "main", turns: [{ toolCalls: [slow("slow")] }, { text: "Done." }] },
  ]);
  const messages = [said("m", "Also this.")];
  const child = startChild();
  await began("slow");
  writeFileSync(join(bench.directory, "inbox.json"), JSON.stringify(messages));
  if (when === "after it heard") {
    writeFileSync(inWork("slow.go"), "");
    await began("also");
  }
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
  writeFileSync(inWork("slow.go"), "");
  writeFileSync(inWork("also.go"), "");

  const agent = await bench.agent();
  const run = await open(agent);
  expect(run.position).toBe("resumed");
  expect(answer(await collect(run, { messages: () => messages }))).toBe("Both.");
  const done = await open(agent);
  expect(shape(done)).toEqual(["human aex-1: Go.", "ai", "tool", "human aex-1/m: Also this.", "ai", "tool", "ai"]);
  expect(bench.model.requests.map(({ scenario, turn }) => `${scenario} ${turn}`)).toEqual([
    "main 0",
    "steered 0",
    "steered 1",
  ]);
});
