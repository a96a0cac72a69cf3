import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Scenario, ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, describe, expect, it, vi } from "vitest";
import { answer, collect, openWorkbench, toolResults, type Workbench } from "../__fixtures__/workbench.ts";
import type { AgentEvent, AgentRun, RunControl } from "../agent.ts";
import { AgentError } from "../errors.ts";
import { createSqliteLedger } from "../ledger/create-sqlite-ledger.ts";
import type { ApprovalOptions } from "./approvals-middleware.ts";
import type { ApprovalDecision, ApprovalEvent } from "./run-approvals.ts";

let bench: Workbench;
let ledgers: { close(): void }[] = [];
afterEach(async () => {
  for (const ledger of ledgers.splice(0)) ledger.close();
  await bench[Symbol.asyncDispose]();
});

const inWork = (file: string): string => join(bench.sandbox.root, file);
const effects = (): string[] =>
  existsSync(inWork("effects")) ? readFileSync(inWork("effects"), "utf8").trim().split("\n").toSorted() : [];
const execute = (command: string, id?: string): ScriptedToolCall => ({
  name: "execute",
  args: { command },
  ...(id !== undefined && { id }),
});
const asks = (name: string, id?: string): ScriptedToolCall => execute(`touch ${name} && echo ${name} >> effects`, id);
const quick = (name: string): ScriptedToolCall => execute(`echo ${name} >> effects`);
const task = (description: string): ScriptedToolCall => ({
  name: "task",
  args: { description, subagent_type: "general-purpose" },
});
const main = (...turns: Scenario["turns"]): Scenario => ({ name: "main", turns });

const policy: ApprovalOptions = { agent: [{ commands: ["touch *"], action: "ask", reason: "it touches" }] };

/** Opens the run anew, as after a restart: nothing is shared with before but what is on disk. */
async function open(options: ApprovalOptions = policy): Promise<AgentRun> {
  const ledger = await createSqliteLedger({ path: join(bench.directory, "ledger.db") });
  ledgers.push(ledger);
  const agent = await bench.agent({ approvals: options, ledger: ledger.forRun("aex-1") });
  return agent.open({ threadId: "t", runId: "aex-1", input: "Go." });
}

interface Stopped {
  readonly events: AgentEvent[];
  readonly error: unknown;
  /** What waits, by what the command touches. */
  readonly waiting: Record<string, ApprovalEvent>;
}

async function goOn(control?: RunControl, options?: ApprovalOptions): Promise<Stopped> {
  const events: AgentEvent[] = [];
  let error: unknown;
  try {
    for await (const event of (await open(options)).events(control)) events.push(event);
  } catch (thrown) {
    error = thrown;
  }
  const told = events.map(({ data }) => data as ApprovalEvent).filter(({ event }) => event === "on_tool_waiting");
  return {
    events,
    error,
    waiting: Object.fromEntries(told.map((data) => [/touch (\w+)/.exec(data.input)?.[1], data])),
  };
}

const decide = (
  event: ApprovalEvent | undefined,
  decision: ApprovalDecision["decision"] = "approve",
  more: Partial<ApprovalDecision> = {},
): ApprovalDecision => ({ callKey: event?.approval.callKey ?? "", decision, ...more });
const isWaiting = (error: unknown): boolean => AgentError.is(error) && error.code === "waiting-for-approval";
const requests = (): string[] => bench.model.requests.map(({ scenario, turn }) => `${scenario} ${turn}`);

describe("a call that a person has to allow", () => {
  it("waits, while what is beside it runs, and runs once when it is approved, after a restart", async () => {
    bench = await openWorkbench([main({ toolCalls: [asks("one"), quick("beside")] }, { text: "Done." })]);
    const first = await goOn();
    expect(isWaiting(first.error)).toBe(true);
    expect((first.error as Error).message).toBe("A call of execute waits for approval.");
    expect(effects()).toEqual(["beside"]);
    expect(first.waiting["one"]).toMatchObject({ name: "execute", approval: { reason: "it touches" } });
    // Nobody said anything yet.
    const again = await goOn();
    expect(again.waiting["one"]?.approval.callKey).toBe(first.waiting["one"]?.approval.callKey);

    const decisions = [decide(first.waiting["one"])];
    const last = await goOn({ decisions: () => decisions });
    expect(last.error).toBeUndefined();
    expect(answer(last.events)).toBe("Done.");
    expect(effects()).toEqual(["beside", "one"]);
    expect(requests()).toEqual(["main 0", "main 1"]);
    const carriedOut = last.events
      .map(({ data }) => data as ApprovalEvent)
      .find((each) => each.event === "on_tool_decided");
    expect(carriedOut).toMatchObject({ approval: { decision: "approve" } });
  });

  it("runs at once when it is decided while others are under way, without a rest", async () => {
    bench = await openWorkbench([
      main(
        { toolCalls: [asks("one"), execute("while [ ! -e go ]; do sleep 0.02; done; echo slow >> effects")] },
        { text: "Done." },
      ),
    ]);
    let decisions: ApprovalDecision[] = [];
    const events: AgentEvent[] = [];
    for await (const event of (await open()).events({ decisions: () => decisions })) {
      events.push(event);
      const data = event.data as ApprovalEvent;
      // The question is told while the other tool still runs.
      if (data.event !== "on_tool_waiting") continue;
      expect(effects()).toEqual([]);
      decisions = [decide(data)];
      writeFileSync(inWork("go"), "");
    }
    expect(answer(events)).toBe("Done.");
    expect(effects()).toEqual(["one", "slow"]);
  });

  it.each([
    ["reject", "error", "A person refused this call of execute: it was not run. They said: not on Friday"],
    ["skip", "success", "This call of execute was skipped: it was not run. Go on without its result."],
  ] as const)("is not run on %s, and the model is told", async (decision, status, content) => {
    bench = await openWorkbench([main({ toolCalls: [asks("one")] }, { text: "Done." })]);
    const { waiting } = await goOn();
    const decisions = [decide(waiting["one"], decision, { reason: "not on Friday" })];
    const { events } = await goOn({ decisions: () => decisions });
    expect(toolResults(events)).toEqual([{ name: "execute", status, content }]);
    expect(answer(events)).toBe("Done.");
    expect(effects()).toEqual([]);
  });

  it("runs with other arguments when it is edited, and the model is told; what does not fit the tool is not run", async () => {
    bench = await openWorkbench([main({ toolCalls: [asks("one"), asks("two")] }, { text: "Done." })]);
    const { waiting } = await goOn();
    const args = { command: "echo edited >> effects" };
    const decisions = [
      decide(waiting["one"], "edit", { args }),
      decide(waiting["two"], "edit", { args: { command: 7 } }),
    ];
    const { events } = await goOn({ decisions: () => decisions });
    expect(effects()).toEqual(["edited"]);
    const [first, second] = toolResults(events).toSorted((a, b) => a.status.localeCompare(b.status));
    expect(first).toMatchObject({ status: "error", content: expect.stringContaining("it was not run") });
    expect(second?.content).toMatch(/^\[A person changed this call before it was run, to .*echo edited/);
  });

  it("is not taken for another of the same id", async () => {
    bench = await openWorkbench([
      main({ toolCalls: [asks("one", "call_0")] }, { toolCalls: [asks("two", "call_0")] }, { text: "Done." }),
    ]);
    const { waiting } = await goOn();
    const decisions = [decide(waiting["one"])];
    const second = await goOn({ decisions: () => decisions });
    expect(isWaiting(second.error)).toBe(true);
    expect(Object.keys(second.waiting)).toEqual(["two"]);
    expect(effects()).toEqual(["one"]);
    decisions.push(decide(second.waiting["two"], "reject"));
    expect(answer((await goOn({ decisions: () => decisions })).events)).toBe("Done.");
    expect(effects()).toEqual(["one"]);
  });

  it("may be one of a kind that was allowed for the session: its like do not wait any more", async () => {
    bench = await openWorkbench([
      main({ toolCalls: [asks("one"), asks("two")] }, { toolCalls: [asks("three")] }, { text: "Done." }),
    ]);
    const { waiting } = await goOn();
    const rule = { tools: ["execute"], commands: ["touch *", "echo > *"], action: "allow" as const };
    const decisions = [
      decide(waiting["one"], "approve", {
        scope: "session",
        rule: { ...rule, commands: [...rule.commands, "echo * > *"] },
      }),
    ];
    const { events, error } = await goOn({ decisions: () => decisions });
    expect(error).toBeUndefined();
    expect(answer(events)).toBe("Done.");
    expect(effects()).toEqual(["one", "three", "two"]);
  });
});

it("is refused without asking when a rule denies it, and the model is told why", async () => {
  bench = await openWorkbench([main({ toolCalls: [asks("one")] }, { text: "Done." })]);
  const denies: ApprovalOptions = {
    agent: [{ tools: ["execute"], action: "deny", reason: "read only, please" }],
    autoApprove: true,
  };
  const { events } = await goOn({}, denies);
  expect(toolResults(events)[0]).toMatchObject({
    status: "error",
    content: expect.stringContaining("read only, please"),
  });
  expect(effects()).toEqual([]);
});

it("asks nobody when nobody is there", async () => {
  bench = await openWorkbench([main({ toolCalls: [asks("one")] }, { text: "Done." })]);
  const { events, error } = await goOn({}, { ...policy, autoApprove: true });
  expect([error, answer(events), effects()]).toEqual([undefined, "Done.", ["one"]]);
});

describe("inside sub-agents", () => {
  const sub = (name: string, id?: string): Scenario => ({
    name,
    match: { human: `Dig ${name}` },
    turns: [
      { toolCalls: [quick(`${name}-1`)] },
      { toolCalls: [asks(name, id), quick(`${name}-beside`)] },
      { toolCalls: [quick(`${name}-2`)] },
      { text: `Dug ${name}.` },
    ],
  });
  const before = ["a-1", "a-beside", "b-1", "b-beside", "root"];

  it("two wait at once, are answered in reverse order, and nothing beside or before them is run again", async () => {
    bench = await openWorkbench([
      sub("a"),
      sub("b"),
      main({ toolCalls: [task("Dig a"), task("Dig b"), quick("root")] }, { text: "Done." }),
    ]);
    const { waiting, error, events } = await goOn();
    expect(isWaiting(error)).toBe(true);
    expect((error as Error).message).toBe("2 calls wait for approval: execute, execute.");
    expect(Object.keys(waiting).toSorted()).toEqual(["a", "b"]);
    expect(effects()).toEqual(before);
    // Each is told with its place: below the task that its sub-agent was handed.
    const places = events
      .filter(({ data }) => (data as ApprovalEvent).event === "on_tool_waiting")
      .map((e) => e.namespace);
    expect(places.map(({ length }) => length)).toEqual([2, 2]);
    expect(new Set(places.map(([taskNode]) => taskNode)).size).toBe(2);

    const decisions = [decide(waiting["b"])];
    const second = await goOn({ decisions: () => decisions });
    expect(Object.keys(second.waiting)).toEqual(["a"]);
    expect(isWaiting(second.error)).toBe(true);
    expect(effects()).toEqual([...before, "b", "b-2"].toSorted());
    decisions.push(decide(waiting["a"], "reject"));
    const last = await goOn({ decisions: () => decisions });
    expect(answer(last.events)).toBe("Done.");
    expect(effects()).toEqual([...before, "a-2", "b", "b-2"].toSorted());
    expect(requests().toSorted()).toEqual(
      ["a 0", "a 1", "a 2", "a 3", "b 0", "b 1", "b 2", "b 3", "main 0", "main 1"].toSorted(),
    );
  });

  it("two of the same id are not mixed", async () => {
    bench = await openWorkbench([
      sub("a", "call_0"),
      sub("b", "call_0"),
      main({ toolCalls: [task("Dig a"), task("Dig b"), quick("root")] }, { text: "Done." }),
    ]);
    const { waiting } = await goOn();
    const decisions = [decide(waiting["a"], "reject"), decide(waiting["b"])];
    const { events } = await goOn({ decisions: () => decisions });
    expect(answer(events)).toBe("Done.");
    expect(effects()).toEqual([...before, "a-2", "b", "b-2"].toSorted());
  });
});

it("a pause is no answer: what waits, waits after it as well", async () => {
  bench = await openWorkbench([main({ toolCalls: [asks("one"), execute("touch x; sleep 0.2")] }, { text: "Done." })]);
  const pause = new AbortController();
  const asksOne: ApprovalOptions = { agent: [{ commands: ["touch one"], action: "ask" }] };
  const run = (await open(asksOne)).events({ pause: pause.signal });
  const stopped = vi.fn();
  try {
    for await (const { data } of run) {
      if ((data as ApprovalEvent).event === "on_tool_waiting") pause.abort(new Error("lunch"));
    }
  } catch (error) {
    stopped(error);
  }
  expect(stopped).toHaveBeenCalledWith(pause.signal.reason);
  const { waiting } = await goOn({}, asksOne);
  const decisions = [decide(waiting["one"])];
  expect(answer(await collect(await open(asksOne), { decisions: () => decisions }))).toBe("Done.");
  expect(effects()).toEqual(["one"]);
});
