import { tool } from "@langchain/core/tools";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Scenario, ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { answer, collect, openWorkbench, type Workbench } from "../__fixtures__/workbench.ts";
import type { Agent, AgentEvent, AgentRun, RunControl } from "../agent.ts";
import { requestOwnPause } from "./run-gate.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const until = { timeout: 20_000, interval: 10 };
const inWork = (file: string): string => join(bench.sandbox.root, file);
const touch = (file: string): void => writeFileSync(inWork(file), "");
const began = (name: string): Promise<unknown> => vi.waitUntil(() => existsSync(inWork(`${name}.began`)), until);
const effects = (): string[] =>
  existsSync(inWork("effects")) ? readFileSync(inWork("effects"), "utf8").trim().split("\n") : [];

const execute = (command: string): ScriptedToolCall => ({ name: "execute", args: { command } });
const quick = (name: string): ScriptedToolCall => execute(`echo ${name} >> effects`);
/** Says that it began, takes until the test lets it go on, and has its effect at the end. */
const slow = (name: string): ScriptedToolCall =>
  execute(`touch ${name}.began; while [ ! -e ${name}.go ]; do sleep 0.02; done; echo ${name} >> effects`);
const task = (description: string): ScriptedToolCall => ({
  name: "task",
  args: { description, subagent_type: "general-purpose" },
});

const open = (agent: Agent, threadId = "t"): Promise<AgentRun> =>
  agent.open({ threadId, runId: `aex-${threadId}`, input: "Go." });

/** Reads a run's events; `settled` tells whether they have ended, without waiting for it. */
function watch(
  run: AgentRun,
  control: RunControl,
  onEvent?: (event: AgentEvent) => void,
): { ended: Promise<unknown>; events: AgentEvent[]; settled(): boolean } {
  const events: AgentEvent[] = [];
  let settled = false;
  const read = async (): Promise<void> => {
    for await (const event of run.events(control)) {
      events.push(event);
      onEvent?.(event);
    }
  };
  const ended = read().then(
    () => "ended",
    (error: unknown) => error,
  );
  void ended.then(() => (settled = true));
  return { ended, events, settled: () => settled };
}

const main = (...turns: Scenario["turns"]): Scenario => ({ name: "main", turns });

it("rests when the tools under way have ended, and goes on exactly there", async () => {
  bench = await openWorkbench([
    main({ toolCalls: [quick("first")] }, { toolCalls: [slow("slow"), quick("beside")] }, { text: "Done." }),
  ]);
  const agent = await bench.agent();
  const pause = new AbortController();
  const { ended, settled } = watch(await open(agent), { pause: pause.signal });
  await began("slow");
  const reason = new Error("Ada wants to look");
  pause.abort(reason);
  await vi.waitUntil(() => effects().includes("beside"), until);
  expect(settled()).toBe(false);
  touch("slow.go");
  expect(await ended).toBe(reason);
  expect(effects().toSorted()).toEqual(["beside", "first", "slow"]);
  expect(bench.model.requests).toHaveLength(2);

  const again = await open(agent);
  expect(again.position).toBe("resumed");
  expect(again.messages.map(({ type }) => type)).toEqual(["human", "ai", "tool", "ai", "tool", "tool"]);
  expect(answer(await collect(again))).toBe("Done.");
  expect(effects().toSorted()).toEqual(["beside", "first", "slow"]);
  expect(bench.model.requests).toHaveLength(3);
});

it("hears the model out, and begins none of the tools that it asks for", async () => {
  bench = await openWorkbench([
    main({ text: "I shall begin now. ".repeat(5), chunkDelayMs: 10, toolCalls: [quick("one")] }, { text: "Done." }),
  ]);
  const agent = await bench.agent();
  const pause = new AbortController();
  const { ended, events } = watch(await open(agent), { pause: pause.signal });
  await vi.waitUntil(() => events.some(({ mode }) => mode === "messages"), until);
  pause.abort(new Error("wait"));
  expect(await ended).toBe(pause.signal.reason);
  expect(effects()).toEqual([]);
  expect(bench.model.requests.map(({ outcome }) => outcome)).toEqual(["answered"]);

  const again = await open(agent);
  expect(again.messages.map(({ text }) => text)).toEqual(["Go.", "I shall begin now. ".repeat(5)]);
  expect(answer(await collect(again))).toBe("Done.");
  expect(effects()).toEqual(["one"]);
  // Neither answer was asked for twice.
  expect(bench.model.requests).toHaveLength(2);
});

it("brings sub-agents that run side by side to rest, each after its own call, and takes each up where it was", async () => {
  const sub = (name: string): Scenario => ({
    name,
    match: { human: `Dig ${name}` },
    turns: [{ toolCalls: [slow(name)] }, { toolCalls: [quick(`${name}-2`)] }, { text: `Dug ${name}.` }],
  });
  bench = await openWorkbench([
    sub("a"),
    sub("b"),
    main({ toolCalls: [task("Dig a"), task("Dig b"), quick("root")] }, { text: "Done." }),
  ]);
  const agent = await bench.agent();
  const pause = new AbortController();
  const { ended, events, settled } = watch(await open(agent), { pause: pause.signal });
  await Promise.all([began("a"), began("b")]);
  pause.abort(new Error("wait"));
  touch("a.go");
  await vi.waitUntil(() => effects().includes("a"), until);
  expect(settled()).toBe(false);
  touch("b.go");
  expect(await ended).toBe(pause.signal.reason);
  expect(effects().toSorted()).toEqual(["a", "b", "root"]);
  expect(bench.model.requests).toHaveLength(3);
  // A task that rests has not failed.
  expect(events.filter(({ data }) => (data as { event?: string }).event === "on_tool_error")).toEqual([]);

  expect(answer(await collect(await open(agent)))).toBe("Done.");
  expect(effects().toSorted()).toEqual(["a", "a-2", "b", "b-2", "root"]);
  const asked = bench.model.requests.map(({ scenario, turn }) => `${scenario} ${turn}`);
  expect(asked.toSorted()).toEqual(["a 0", "a 1", "a 2", "b 0", "b 1", "b 2", "main 0", "main 1"]);
});

it("tries no failed model call again before it rests", async () => {
  bench = await openWorkbench([main({ error: { status: 529, message: "Overloaded", times: 1 }, text: "Done." })]);
  const agent = await bench.agent({
    model: { provider: "anthropic", model: "m", apiKey: "k", baseUrl: bench.model.url, maxRetries: 3 },
  });
  const pause = new AbortController();
  const { ended } = watch(await open(agent), { pause: pause.signal });
  await vi.waitUntil(() => bench.model.requests.length === 1, until);
  pause.abort(new Error("wait"));
  expect(await ended).toBe(pause.signal.reason);
  expect(bench.model.requests.map(({ status }) => status)).toEqual([529]);
  expect(answer(await collect(await open(agent)))).toBe("Done.");
});

it("fails when its last attempt does", async () => {
  const failing = { status: 529, message: "Overloaded", afterChunks: 5 };
  bench = await openWorkbench([main({ text: "I begin to say something.", chunkDelayMs: 20, error: failing })]);
  const pause = new AbortController();
  const { ended, events } = watch(await open(await bench.agent()), { pause: pause.signal });
  await vi.waitUntil(() => events.some(({ mode }) => mode === "messages"), until);
  pause.abort(new Error("wait"));
  expect(await ended).toMatchObject({ code: "model-overloaded" });
});

it("can be aborted while it waits for the last call", async () => {
  bench = await openWorkbench([main({ toolCalls: [slow("slow")] })]);
  const pause = new AbortController();
  const stop = new AbortController();
  const { ended } = watch(await open(await bench.agent()), { pause: pause.signal, signal: stop.signal });
  await began("slow");
  pause.abort(new Error("wait"));
  const reason = new Error("enough");
  stop.abort(reason);
  expect(await ended).toBe(reason);
  expect(effects()).toEqual([]);
});

it("just ends when nothing is left to rest before", async () => {
  bench = await openWorkbench([main({ text: "All is well. ".repeat(5), chunkDelayMs: 10 })]);
  const agent = await bench.agent();
  const pause = new AbortController();
  const { ended, events } = watch(await open(agent), { pause: pause.signal });
  await vi.waitUntil(() => events.some(({ mode }) => mode === "messages"), until);
  pause.abort(new Error("wait"));
  expect(await ended).toBe("ended");
  expect((await open(agent)).position).toBe("finished");
});

it("begins nothing when it is paused before it starts", async () => {
  bench = await openWorkbench([main({ text: "Hi." })]);
  const agent = await bench.agent();
  const pause = AbortSignal.abort(new Error("wait"));
  await expect(collect(await open(agent), { pause })).rejects.toBe(pause.reason);
  expect(bench.model.requests).toEqual([]);
  const again = await open(agent);
  expect(again.position).toBe("fresh");
  expect(answer(await collect(again))).toBe("Hi.");
});

it("rests any number of times", async () => {
  bench = await openWorkbench([
    main({ toolCalls: [slow("one")] }, { toolCalls: [slow("two")] }, { toolCalls: [slow("three")] }, { text: "Done." }),
  ]);
  const agent = await bench.agent();
  for (const name of ["one", "two", "three"]) {
    const pause = new AbortController();
    const { ended } = watch(await open(agent), { pause: pause.signal });
    await began(name);
    pause.abort(new Error(name));
    touch(`${name}.go`);
    expect(await ended).toBe(pause.signal.reason);
  }
  expect(answer(await collect(await open(agent)))).toBe("Done.");
  expect(effects()).toEqual(["one", "two", "three"]);
  expect(bench.model.requests).toHaveLength(4);
});

it("leaves the agent's other runs alone", async () => {
  bench = await openWorkbench([
    { name: "a", match: { human: "a" }, turns: [{ toolCalls: [slow("a")] }, { text: "Done." }] },
    { name: "b", match: { human: "b" }, turns: [{ toolCalls: [slow("b")] }, { text: "Done too." }] },
  ]);
  const agent = await bench.agent();
  const pause = new AbortController();
  const a = watch(await agent.open({ threadId: "a", runId: "r", input: "a" }), { pause: pause.signal });
  const b = watch(await agent.open({ threadId: "b", runId: "r", input: "b" }), {});
  await Promise.all([began("a"), began("b")]);
  pause.abort(new Error("wait"));
  touch("a.go");
  touch("b.go");
  expect(await a.ended).toBe(pause.signal.reason);
  expect(await b.ended).toBe("ended");
  expect(answer(b.events)).toBe("Done too.");
});

describe("a run that asks for rest itself", () => {
  const askPerson = tool(
    async ({ name }: { name: string }, runtime) => {
      requestOwnPause(runtime as object, `Nobody knows what became of ${name}.`);
      return `unknown: ${name}`;
    },
    { name: "ask_person", description: "Asks a person.", schema: z.object({ name: z.string() }) },
  );
  const ask = (name: string): ScriptedToolCall => ({ name: "ask_person", args: { name } });

  it("lets what runs beside it end, keeps the answer, and does not ask again", async () => {
    bench = await openWorkbench([
      main({ toolCalls: [ask("the letter"), slow("beside")] }, { toolCalls: [quick("next")] }, { text: "Done." }),
    ]);
    const agent = await bench.agent({ tools: [askPerson] });
    const { ended, settled } = watch(await open(agent), {});
    await began("beside");
    expect(settled()).toBe(false);
    touch("beside.go");
    expect(await ended).toMatchObject({ code: "paused", message: "Nobody knows what became of the letter." });
    expect(effects()).toEqual(["beside"]);

    const again = await open(agent);
    expect(again.messages.map(({ text }) => text)).toContain("unknown: the letter");
    expect(answer(await collect(again))).toBe("Done.");
    expect(effects()).toEqual(["beside", "next"]);
    expect(JSON.stringify(bench.model.requests[1]!.body)).toContain("unknown: the letter");
    expect(bench.model.requests).toHaveLength(3);
  });

  it("says so from within a sub-agent, whoever else wants it to rest", async () => {
    bench = await openWorkbench([
      { name: "sub", match: { human: "Dig" }, turns: [{ toolCalls: [ask("it"), slow("a")] }, { text: "Dug." }] },
      main({ toolCalls: [task("Dig")] }, { text: "Done." }),
    ]);
    const agent = await bench.agent({ tools: [askPerson] });
    const pause = new AbortController();
    const { ended } = watch(await open(agent), { pause: pause.signal });
    await began("a");
    pause.abort(new Error("wait"));
    touch("a.go");
    expect(await ended).toMatchObject({ code: "paused", message: "Nobody knows what became of it." });
    expect(answer(await collect(await open(agent)))).toBe("Done.");
    expect(effects()).toEqual(["a"]);
  });
});

describe("paused again and again", () => {
  const sub = (name: string): Scenario => ({
    name,
    match: { human: `Dig ${name}` },
    turns: [
      { toolCalls: [quick(`${name}-1`), quick(`${name}-2`)] },
      { toolCalls: [quick(`${name}-3`)] },
      { text: "Dug." },
    ],
  });
  const scenarios = [
    sub("a"),
    sub("b"),
    main(
      { toolCalls: [quick("one"), quick("two")] },
      { toolCalls: [task("Dig a"), quick("beside"), task("Dig b")] },
      { toolCalls: [quick("three")] },
      { text: "Done." },
    ),
  ];

  /** A model speaks or a tool runs. What comes before that, a pause would undo any number of times. */
  const isWork = ({ mode, data }: AgentEvent): boolean => {
    if (mode === "messages") return (data as [{ type: string }])[0].type === "ai";
    return mode === "tools" && (data as { name: string }).name !== "task";
  };

  /** Pauses after so many events of work in each life of the run, until it has ended. */
  async function lives(eventsEach: number): Promise<number> {
    bench = await openWorkbench(scenarios);
    const agent = await bench.agent();
    for (let life = 1; life < 50; life += 1) {
      const run = await open(agent);
      if (run.position === "finished") return life;
      const pause = new AbortController();
      let left = eventsEach;
      const { ended } = watch(run, { pause: pause.signal }, (event) => {
        if (isWork(event) && (left -= 1) === 0) pause.abort(new Error("wait"));
      });
      const end = await ended;
      if (end !== "ended" && end !== pause.signal.reason) throw end;
    }
    throw new Error("The run does not come to its end.");
  }

  it.each([1, 3, 8])("after each %i events of work it does each thing once", async (eventsEach) => {
    expect(await lives(eventsEach)).toBeGreaterThan(1);
    const done = ["a-1", "a-2", "a-3", "b-1", "b-2", "b-3", "beside", "one", "three", "two"];
    expect(effects().toSorted()).toEqual(done);
    const asked = bench.model.requests.map(({ scenario, turn }) => `${scenario} ${turn}`);
    expect(asked.toSorted()).toEqual(
      ["a", "b"]
        .flatMap((name) => [0, 1, 2].map((turn) => `${name} ${turn}`))
        .concat([0, 1, 2, 3].map((turn) => `main ${turn}`)),
    );
  });
});
