// Tasks in the background: the agent goes on, and hears what came of them later.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Scenario, ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, expect, it, vi } from "vitest";
import { answer, collect, openWorkbench, toolResults, type Workbench } from "../__fixtures__/workbench.ts";
import type { AgentEvent, AgentOptions, AgentRun, RunControl, SteeringMessage } from "../agent.ts";
import type { ApprovalDecision, ApprovalEvent } from "../approvals/run-approvals.ts";
import { createMemoryLedger } from "../ledger/create-memory-ledger.ts";
import type { BackgroundEvent } from "./background-tasks.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

// Each makes many model calls, some in processes of their own, on machines that may be busy.
vi.setConfig({ testTimeout: 120_000 });
const until = { timeout: 60_000, interval: 10 };
const inWork = (file: string): string => join(bench.sandbox.root, file);
const began = (name: string): Promise<unknown> => vi.waitUntil(() => existsSync(inWork(`${name}.began`)), until);
const letGo = (name: string): void => writeFileSync(inWork(`${name}.go`), "");
const effects = (): string[] =>
  existsSync(inWork("effects")) ? readFileSync(inWork("effects"), "utf8").trim().split("\n").toSorted() : [];

const execute = (command: string): ScriptedToolCall => ({ name: "execute", args: { command } });
const quick = (name: string): ScriptedToolCall => execute(`echo ${name} >> effects`);
const slow = (name: string): ScriptedToolCall =>
  execute(`touch ${name}.began; while [ ! -e ${name}.go ]; do sleep 0.02; done; echo ${name} >> effects`);
const beside = (description: string): ScriptedToolCall => ({
  name: "task",
  args: { subagent_type: "general-purpose", description, run_in_background: true },
});
/** A sub-agent that takes as long as it takes. */
const digger = (name: string): Scenario => ({
  name,
  match: { human: `Dig ${name}` },
  turns: [{ toolCalls: [slow(name)] }, { text: `Dug ${name}.` }],
});

async function open(options?: Partial<AgentOptions>): Promise<AgentRun> {
  return (await bench.agent(options)).open({ threadId: "t", runId: "aex-1", input: "Go." });
}
/** What the main agent was told, besides its own conversation. */
const heard = ({ messages }: AgentRun): string[] =>
  messages.filter(({ type, id }) => type === "human" && id !== "aex-1").map(({ text }) => text);
const asked = (): string[] => bench.model.requests.map(({ scenario, turn }) => `${scenario} ${turn}`).toSorted();
function ends(events: readonly AgentEvent[]): BackgroundEvent[] {
  return events.flatMap(({ mode, data }) =>
    mode === "tools" && (data as BackgroundEvent).event === "on_background_end" ? [data as BackgroundEvent] : [],
  );
}
/** Collects, and calls `onEnd` for each task that ended. */
async function collectEnds(run: AgentRun, onEnd: (count: number) => void, control?: RunControl): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const event of run.events(control)) {
    events.push(event);
    if (ends([event]).length > 0) onEnd(ends(events).length);
  }
  return events;
}
async function threads(): Promise<string[]> {
  const found = new Set<string>();
  for await (const { config } of bench.checkpointer.list({})) found.add(String(config.configurable?.["thread_id"]));
  return [...found];
}
const done = (name: string): RegExp =>
  new RegExp(
    `^\\[Task [0-9a-f]{12}, which general-purpose worked on in the background, is done\\. Its report:\\]\n\nDug ${name}\\.$`,
  );

it("goes on while the task is worked on, and hears of it before a later model call", async () => {
  bench = await openWorkbench([
    digger("a"),
    { name: "told", match: { human: "is done" }, turns: [{ text: "Heard." }] },
    { name: "main", turns: [{ toolCalls: [beside("Dig a")] }, { toolCalls: [slow("main")] }, { text: "Too early." }] },
  ]);
  const events = collectEnds(await open({ ledger: createMemoryLedger() }), () => letGo("main"));
  await began("main");
  await began("a");
  letGo("a");
  const all = await events;
  expect(answer(all)).toBe("Heard.");
  expect(effects()).toEqual(["a", "main"]);
  expect(toolResults(all)[0]).toMatchObject({ name: "task", content: expect.stringMatching(/^Task [0-9a-f]{12}: /) });
  expect(asked()).toEqual(["a 0", "a 1", "main 0", "main 1", "told 0"]);
  const run = await open();
  expect(run.position).toBe("finished");
  expect(heard(run)).toEqual([expect.stringMatching(done("a"))]);
  expect(await collect(run)).toEqual([]);
  // Nothing of it is left beside the thread.
  expect(await threads()).toEqual(["t"]);
  // Whoever reads the events knows whose they are.
  const place = all.find(({ data }) => (data as BackgroundEvent).event === "on_background_start")!.namespace;
  expect(place).toEqual([expect.stringMatching(/^background:[0-9a-f]{12}$/)]);
  const inside = all.filter(({ namespace }) => namespace[0] === place[0]);
  expect(new Set(inside.map(({ mode }) => mode))).toEqual(new Set(["messages", "updates", "tools"]));
});

it("waits at its end, tells what people say meanwhile, and hears two in the order in which they ended", async () => {
  bench = await openWorkbench([
    digger("a"),
    digger("b"),
    { name: "steered", match: { human: { regex: "^Also" } }, turns: [{ text: "Also." }] },
    { name: "told a", match: { human: "Dug a" }, turns: [{ text: " All." }] },
    { name: "told b", match: { human: "Dug b" }, turns: [{ text: " One." }] },
    { name: "main", turns: [{ toolCalls: [beside("Dig a"), beside("Dig b")] }, { text: "Waiting. " }] },
  ]);
  const messages: SteeringMessage[] = [];
  const events: AgentEvent[] = [];
  for await (const event of (await open()).events({ messages: () => messages })) {
    events.push(event);
    const text = answer(events);
    if (text === "Waiting. " && messages.length === 0) {
      await began("a");
      await began("b");
      messages.push({ id: "m", text: "Also?" });
    }
    if (text.endsWith("Also.")) letGo("b");
    if (text.endsWith(" One.")) letGo("a");
  }
  expect(answer(events)).toBe("Waiting. Also. One. All.");
  expect(heard(await open())).toEqual(["Also?", expect.stringMatching(done("b")), expect.stringMatching(done("a"))]);
  expect(await threads()).toEqual(["t"]);
});

it("tells the agent that a task failed, and why", async () => {
  bench = await openWorkbench([
    { name: "bad", match: { human: "Dig" }, turns: [{ error: { reason: "context-too-long" } }] },
    { name: "told", match: { human: "failed:" }, turns: [{ text: "So be it." }] },
    { name: "main", turns: [{ toolCalls: [beside("Dig")] }, { text: "Waiting. " }] },
  ]);
  const events = await collect(await open());
  expect(answer(events)).toMatch(/So be it\.$/);
  expect(ends(events)).toMatchObject([{ result: { outcome: "failed" } }]);
  expect(heard(await open())).toEqual([expect.stringMatching(/in the background, failed:\]\n\n.*context/s)]);
});

it("goes on after a kill with what is unfinished, and neither repeats nor retells what is finished", async () => {
  bench = await openWorkbench([
    digger("a"),
    digger("b"),
    { name: "told both", match: { human: { regex: "Dug a[^]*Dug b|Dug b" } }, turns: [{ text: "Both." }] },
    { name: "told a", match: { human: "Dug a" }, turns: [{ toolCalls: [slow("main")] }, { text: "One." }] },
    { name: "main", turns: [{ toolCalls: [beside("Dig a"), beside("Dig b")] }, { text: "Waiting." }] },
  ]);
  const child = startChild();
  await began("a");
  await began("b");
  letGo("a");
  // The first was heard of, and is being acted on.
  await began("main");
  await kill(child);
  letGo("main");
  letGo("b");
  const run = await open();
  expect(run.position).toBe("resumed");
  expect(answer(await collect(run))).toMatch(/Both\.$/);
  expect(effects().filter((name) => name === "a")).toEqual(["a"]);
  const finished = await open();
  expect(heard(finished)).toEqual([expect.stringMatching(done("a")), expect.stringMatching(done("b"))]);
  const counts = asked();
  expect(counts.filter((request) => /^[ab] /.test(request))).toEqual(["a 0", "a 1", "b 0", "b 1"]);
  expect(await threads()).toEqual(["t"]);
});

it("tells what had ended before a kill and was not heard, without doing it again", async () => {
  bench = await openWorkbench([
    digger("a"),
    { name: "told", match: { human: "is done" }, turns: [{ text: "Heard." }] },
    { name: "main", turns: [{ toolCalls: [beside("Dig a")] }, { toolCalls: [slow("main")] }, { text: "Early." }] },
  ]);
  const child = startChild();
  let said = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (said += text));
  await began("a");
  await began("main");
  letGo("a");
  await vi.waitUntil(() => said.includes("on_background_end"), until);
  await kill(child);
  letGo("main");
  const run = await open();
  const events = await collect(run);
  expect(answer(events)).toBe("Heard.");
  expect(ends(events)).toHaveLength(1);
  expect(asked().filter((request) => request.startsWith("a "))).toEqual(["a 0", "a 1"]);
  expect(heard(await open())).toEqual([expect.stringMatching(done("a"))]);
});

it("comes to rest in the background too, and goes on from there", async () => {
  bench = await openWorkbench([
    {
      name: "a",
      match: { human: "Dig a" },
      turns: [{ toolCalls: [slow("a")] }, { toolCalls: [quick("a2")] }, { text: "Dug a." }],
    },
    { name: "told", match: { human: "is done" }, turns: [{ text: "Heard." }] },
    { name: "main", turns: [{ toolCalls: [beside("Dig a")] }, { text: "Waiting. " }] },
  ]);
  const pause = new AbortController();
  const paused = collect(await open({ ledger: createMemoryLedger() }), { pause: pause.signal });
  await began("a");
  pause.abort(new Error("wait"));
  letGo("a");
  await expect(paused).rejects.toThrow("wait");
  expect(effects()).toEqual(["a"]);
  expect(asked().filter((request) => request.startsWith("a "))).toEqual(["a 0"]);
  const run = await open();
  expect(run.position).toBe("resumed");
  expect(answer(await collect(run))).toMatch(/Heard\.$/);
  expect(effects()).toEqual(["a", "a2"]);
  expect(asked()).toEqual(["a 0", "a 1", "a 2", "main 0", "main 1", "told 0"]);
});

it("ends with the run when that is cancelled", async () => {
  bench = await openWorkbench([
    digger("a"),
    { name: "main", turns: [{ toolCalls: [beside("Dig a")] }, { text: "Waiting." }] },
  ]);
  const cancel = new AbortController();
  const events = collect(await open(), { signal: cancel.signal });
  await began("a");
  cancel.abort(new Error("enough"));
  await expect(events).rejects.toThrow("enough");
  // The command is gone: nothing comes of it any more.
  letGo("a");
  const requests = asked();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(effects()).toEqual([]);
  expect(asked()).toEqual(requests);
});

it("waits for a person when nothing else is left to do", async () => {
  bench = await openWorkbench([
    { name: "a", match: { human: "Dig a" }, turns: [{ toolCalls: [quick("a")] }, { text: "Dug a." }] },
    { name: "told", match: { human: "is done" }, turns: [{ text: "Heard." }] },
    { name: "main", turns: [{ toolCalls: [beside("Dig a")] }, { text: "Waiting. " }] },
  ]);
  const approvals: AgentOptions["approvals"] = { agent: [{ tools: ["execute"], action: "ask" }] };
  const events: AgentEvent[] = [];
  const waits = async (): Promise<void> => {
    for await (const event of (await open({ approvals })).events()) events.push(event);
  };
  await expect(waits()).rejects.toMatchObject({ code: "waiting-for-approval" });
  const question = events.find(({ data }) => (data as ApprovalEvent).event === "on_tool_waiting")!;
  expect(question.namespace).toEqual([expect.stringMatching(/^background:/), expect.stringMatching(/^tools:/)]);
  expect(effects()).toEqual([]);
  const { callKey } = (question.data as ApprovalEvent).approval;
  const decisions = (): ApprovalDecision[] => [{ callKey, decision: "approve" }];
  expect(answer(await collect(await open({ approvals }), { decisions }))).toMatch(/Heard\.$/);
  expect(effects()).toEqual(["a"]);
});

it("counts into the run's limits", async () => {
  bench = await openWorkbench([
    { name: "a", match: { human: "Dig a" }, turns: [{ toolCalls: [quick("a")] }, { text: "Dug a." }] },
    { name: "main", turns: [{ toolCalls: [beside("Dig a")] }, { text: "Waiting. " }] },
  ]);
  await expect(collect(await open({ limits: { maxToolCalls: 1 } }))).rejects.toMatchObject({ code: "limit-exceeded" });
  expect(effects()).toEqual([]);
});

it("offers it to the run's own agent alone", async () => {
  bench = await openWorkbench([
    { name: "lead", match: { human: "Lead" }, turns: [{ text: "Led." }] },
    {
      name: "main",
      turns: [{ toolCalls: [{ name: "task", args: { subagent_type: "lead", description: "Lead" } }] }, { text: "Ok." }],
    },
  ]);
  const subAgents = [
    { name: "lead", description: "Leads.", instructions: "Lead.", subAgents: ["digger"] },
    { name: "digger", description: "Digs.", instructions: "Dig." },
  ];
  await collect(await open({ subAgents }));
  const offered = bench.model.requests.map(({ scenario, body }) => [
    scenario,
    JSON.stringify(body).includes("run_in_background"),
  ]);
  expect(offered).toEqual([
    ["main", true],
    ["lead", false],
    ["main", true],
  ]);
});

it("leaves nothing when the thread is deleted", async () => {
  bench = await openWorkbench([
    digger("a"),
    { name: "main", turns: [{ toolCalls: [beside("Dig a")] }, { text: "Waiting." }] },
  ]);
  const cancel = new AbortController();
  const events = collect(await open(), { signal: cancel.signal });
  await began("a");
  cancel.abort(new Error("enough"));
  await expect(events).rejects.toThrow("enough");
  expect(await threads()).toEqual(expect.arrayContaining(["t", expect.stringMatching(/^t\/background\//)]));
  await bench.checkpointer.deleteThread("t");
  expect(await threads()).toEqual([]);
});

function startChild(): ChildProcess {
  const script = fileURLToPath(new URL("../__fixtures__/run-until-killed.ts", import.meta.url));
  const args = ["--conditions=@stigmer/source", script, bench.directory, bench.model.url];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  child.stderr?.pipe(process.stderr);
  child.stdout?.resume();
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}
