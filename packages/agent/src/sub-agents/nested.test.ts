// Three levels: the root hands to leads, those to diggers, those to nobody.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AIMessage, ToolMessage } from "@langchain/core/messages";
import type { RecordedRequest, Scenario, ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, expect, it, vi } from "vitest";
import type { AgentEvent, AgentRun, SubAgentSpec } from "../agent.ts";
import { answer, collect, openWorkbench, type Workbench } from "../__fixtures__/workbench.ts";
import type { SubAgentResumedEvent } from "./task-tool.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const subAgents: SubAgentSpec[] = [
  { name: "lead", description: "Leads.", instructions: "You are a lead.", subAgents: ["digger"] },
  { name: "digger", description: "Digs.", instructions: "You are a digger." },
];

const task = (name: string, description: string): ScriptedToolCall => {
  return { name: "task", args: { subagent_type: name, description } };
};
const execute = (command: string): ScriptedToolCall => ({ name: "execute", args: { command } });
const quick = (name: string): ScriptedToolCall => execute(`echo ${name} >> effects`);
/** Has its effect, says so, and takes as long as it takes. */
const slow = (name: string): ScriptedToolCall =>
  execute(`echo ${name} >> effects; touch ${name}.began; while [ ! -e ${name}.go ]; do sleep 0.02; done`);
const inWork = (file: string): string => join(bench.sandbox.root, file);
const effects = (): string[] => readFileSync(inWork("effects"), "utf8").trim().split("\n").toSorted();
const asked = (): string[] => bench.model.requests.map(({ scenario, turn }) => `${scenario} ${turn}`).toSorted();
const toolsOf = ({ body }: RecordedRequest): string[] =>
  (body as { tools: { name: string }[] }).tools.map((t) => t.name);
const open = async (): Promise<AgentRun> =>
  (await bench.agent({ subAgents })).open({ threadId: "t", runId: "aex-1", input: "Go." });

/** `slowAt` says at which levels a tool takes as long as it takes. */
function threeLevels(slowAt: number): Scenario[] {
  const at = (level: number, name: string): ScriptedToolCall => (level === slowAt ? slow(name) : quick(name));
  return [
    ...["a", "b"].flatMap((side): Scenario[] => [
      {
        name: `digger ${side}`,
        match: { human: `Dig ${side}` },
        turns: [
          { toolCalls: [quick(`dig-${side}-1`)] },
          { toolCalls: [at(3, `dig-${side}-2`)] },
          { text: `Dug ${side}.` },
        ],
      },
      {
        name: `lead ${side}`,
        match: { human: `Lead ${side}` },
        turns: [
          { toolCalls: [quick(`lead-${side}-1`)] },
          { toolCalls: [task("digger", `Dig ${side}`), at(2, `lead-${side}-2`)] },
          { text: `Led ${side}: {{ result("task") }}` },
        ],
      },
    ]),
    {
      name: "main",
      turns: [
        { toolCalls: [quick("main-1")] },
        { toolCalls: [task("lead", "Lead a"), task("lead", "Lead b"), at(1, "main-2")] },
        { text: 'Done: {{ result(2, "Led .*") }}' },
      ],
    },
  ];
}
const everyEffect = [
  ...["a", "b"].flatMap((side) => [1, 2].flatMap((n) => [`dig-${side}-${n}`, `lead-${side}-${n}`])),
  "main-1",
  "main-2",
].toSorted();
const everyRequest = ["digger a", "digger b", "lead a", "lead b", "main"].flatMap((name) =>
  [0, 1, 2].map((turn) => `${name} ${turn}`),
);

it("hands tasks on, each level with the tools that its description gives it", async () => {
  bench = await openWorkbench(threeLevels(0));
  const events = await collect(await open());
  expect(answer(events)).toMatch(/^Done: Led [ab]: Dug [ab]\.$/);
  expect(effects()).toEqual(everyEffect);
  expect(asked()).toEqual(everyRequest);
  const described = Object.fromEntries(
    bench.model.requests.map((request) => [request.scenario!.split(" ")[0], toolsOf(request)]),
  );
  expect(described["main"]).toContain("task");
  expect(described["lead"]).toContain("task");
  expect(described["digger"]).not.toContain("task");
  expect(described["digger"]).toEqual(expect.arrayContaining(["execute", "write_todos", "read_file"]));
  const taskOf = (scenario: string): string =>
    JSON.stringify(
      (bench.model.requests.find((r) => r.scenario === scenario)!.body as { tools: { name: string }[] }).tools.find(
        ({ name }) => name === "task",
      ),
    );
  expect(taskOf("main")).toContain("- lead: Leads.");
  expect(taskOf("lead a")).toContain("- digger: Digs.");
  expect(taskOf("lead a")).not.toContain("- lead");
  // What the sub-agents' steps left is gone once the main agent went on.
  const namespaces = new Set<unknown>();
  for await (const { config } of bench.checkpointer.list({ configurable: { thread_id: "t" } })) {
    namespaces.add(config.configurable?.["checkpoint_ns"]);
  }
  expect([...namespaces]).toEqual([""]);
});

it("says of each event in which task it happened", async () => {
  bench = await openWorkbench(threeLevels(0));
  const tasks = new Map<string, string>();
  const seen = new Set<string>();
  for await (const { namespace, mode, data } of (await open()).events()) {
    if (mode !== "tools") continue;
    const { event, name, input } = data as { event: string; name: string; input: string };
    if (event !== "on_tool_start") continue;
    const path = namespace.slice(0, -1).map((_, depth) => tasks.get(namespace.slice(0, depth + 1).join("|")));
    const { args } = { args: JSON.parse(input) as { description?: string; command?: string } };
    if (name === "task") tasks.set(namespace.join("|"), args.description ?? "");
    else seen.add([...path, args.command?.split(" ")[1]].join(" > "));
  }
  expect([...seen].toSorted()).toEqual(
    [
      "main-1",
      "main-2",
      ...["a", "b"].flatMap((side) => [
        `Lead ${side} > lead-${side}-1`,
        `Lead ${side} > lead-${side}-2`,
        `Lead ${side} > Dig ${side} > dig-${side}-1`,
        `Lead ${side} > Dig ${side} > dig-${side}-2`,
      ]),
    ].toSorted(),
  );
});

function startChild(): ChildProcess {
  const script = fileURLToPath(new URL("../__fixtures__/run-until-killed.ts", import.meta.url));
  const more = JSON.stringify({ subAgents });
  const args = ["--conditions=@stigmer/source", script, bench.directory, bench.model.url, more];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
  child.stderr?.pipe(process.stderr);
  return child;
}

const slowOnes = { 1: ["main-2"], 2: ["lead-a-2", "lead-b-2"], 3: ["dig-a-2", "dig-b-2"] } as const;

it.each([1, 2, 3] as const)(
  "goes on at level %i where a killed process stopped, and repeats nothing",
  async (level) => {
    bench = await openWorkbench(threeLevels(level));
    const child = startChild();
    const waiting = slowOnes[level];
    const others = everyEffect.filter((name) => !(waiting as readonly string[]).includes(name));
    // Everything that does not wait for the slow ones, and what the model said of it, is over.
    await vi.waitUntil(() => waiting.every((name) => existsSync(inWork(`${name}.began`))), {
      timeout: 60_000,
      interval: 20,
    });
    const over = everyRequest.filter((request) =>
      level === 1 ? request !== "main 2" : level === 2 ? !/^(main|lead .) 2/.test(request) : !request.endsWith("2"),
    );
    await vi.waitUntil(() => asked().length === over.length && effects().length === everyEffect.length, {
      timeout: 60_000,
      interval: 20,
    });
    await vi.waitUntil(async () => (await pendingResults().catch(() => 0)) >= { 1: 2, 2: 3, 3: 3 }[level], {
      timeout: 60_000,
      interval: 20,
    });
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
    for (const name of waiting) writeFileSync(inWork(`${name}.go`), "");

    const run = await open();
    expect(run.position).toBe("resumed");
    const events = await collect(run);
    expect(answer(events)).toMatch(/^Done: /);
    expect(effects()).toEqual([...others, ...waiting, ...waiting].toSorted());
    expect(asked()).toEqual(everyRequest);
    // What the killed process had not told of its sub-agents that go on.
    const ofLeads = ["lead-a-1", "lead-b-1"];
    const ofDiggers = ["dig-a-1", "dig-b-1", "lead-a-1", "lead-a-2", "lead-b-1", "lead-b-2"];
    expect(toldAgain(events)).toEqual({ 1: [], 2: ofLeads, 3: ofDiggers }[level]);
  },
  120_000,
);

/** The commands whose results stand in the conversations of sub-agents that were told of as they went on. */
function toldAgain(events: readonly AgentEvent[]): string[] {
  return events
    .flatMap(({ mode, data }) => (mode === "custom" ? [data as Partial<SubAgentResumedEvent>] : []))
    .filter(({ type }) => type === "sub_agent_resumed")
    .flatMap(({ messages = [] }) => {
      const done = new Set(messages.filter(ToolMessage.isInstance).map(({ tool_call_id: id }) => id));
      return messages
        .filter(AIMessage.isInstance)
        .flatMap(({ tool_calls: calls = [] }) => calls.filter(({ id = "" }) => done.has(id)));
    })
    .flatMap(({ args }) => (args as { command?: string }).command?.split(" ")[1] ?? [])
    .toSorted();
}

/** Results that stand beside a checkpoint, waiting for their slower siblings. Fails while the other process tidies up. */
async function pendingResults(): Promise<number> {
  let count = 0;
  const newest = new Set<string>();
  for await (const { config, pendingWrites } of bench.checkpointer.list({ configurable: { thread_id: "t" } })) {
    const namespace = String(config.configurable?.["checkpoint_ns"]);
    if (newest.has(namespace)) continue;
    newest.add(namespace);
    count += pendingWrites?.filter(([, channel]) => channel === "messages").length ?? 0;
  }
  return count;
}

it("comes to rest on all levels when asked, and goes on at the very call", async () => {
  bench = await openWorkbench(threeLevels(3));
  const pause = new AbortController();
  const paused = collect(await open(), { pause: pause.signal });
  await vi.waitUntil(() => slowOnes[3].every((name) => existsSync(inWork(`${name}.began`))), { timeout: 30_000 });
  pause.abort(new Error("wait"));
  for (const name of slowOnes[3]) writeFileSync(inWork(`${name}.go`), "");
  await expect(paused).rejects.toThrow("wait");
  const before = asked();
  expect(before.filter((request) => /^digger . 2|^main 2/.test(request))).toEqual([]);

  const events: AgentEvent[] = await collect(await open());
  expect(answer(events)).toMatch(/^Done: /);
  expect(effects()).toEqual(everyEffect);
  expect(asked()).toEqual(everyRequest);
});
