// Runs real deep agents against a scripted model and writes down what they stream, one event a line:
//   pnpm --filter @stigmer/status record-fixtures [case …]
// Then `vitest run packages/status -u` renews the statuses beside them; read that diff before you commit it.
import { writeFile } from "node:fs/promises";
import { HumanMessage } from "@langchain/core/messages";
import { isGraphDrained, RunControl } from "@langchain/langgraph";
import { startScriptedModel, type Scenario } from "@stigmer/scripted-model";
import type { RecordedOutcome } from "../src/__fixtures__/replay.ts";
import { createAgent, rootCause } from "./fixtures/agent.ts";
import { call, type Case, cases } from "./fixtures/cases.ts";
import { pick, type Recorded, withoutChance } from "./fixtures/recorded-event.ts";

async function record(name: string, example: Case): Promise<void> {
  const { turns, subAgents = [], before, cancelWhen, pauseWhen, resumeAfter, thenSay, steered = [] } = example;
  const message = `Do ${name}`;
  const scenarios: Scenario[] = [...subAgents, { name: "main", match: { human: message }, turns }];
  if (thenSay !== undefined) scenarios.push({ name: "steered", match: { human: thenSay.text }, turns: steered });
  if (before !== undefined)
    scenarios.push({
      name: "before",
      turns: [{ text: "Hello yourself.", toolCalls: [call("add", { a: 9, b: 9 }, "0")] }, { text: "Eighteen." }],
    });
  await using model = await startScriptedModel({ scenario: { name, scenarios } });
  const agent = createAgent(model, example.retries === true);
  const stop = new AbortController();
  const crash = new AbortController();
  const control = new RunControl();
  const config = { configurable: { thread_id: name }, signal: stop.signal, control, durability: "sync" as const };
  if (before !== undefined) await agent.invoke(said("earlier", before), config);

  const events: (Recorded | { resumed: unknown })[] = [];
  let outcome: RecordedOutcome = { kind: "completed" };
  const listen = async (input: never): Promise<void> => {
    const stream = await agent.stream(input, {
      ...config,
      signal: crash.signal.aborted ? stop.signal : AbortSignal.any([stop.signal, crash.signal]),
      streamMode: ["messages", "updates", "tools", "custom"],
      subgraphs: true,
    });
    for await (const [namespace, mode, data] of stream as AsyncIterable<[string[], string, unknown]>) {
      const event = { namespace, mode, data: pick(data) };
      events.push(event);
      if (cancelWhen?.(event)) stop.abort(new Error("The user pressed Ctrl-C."));
      if (pauseWhen?.(event)) control.requestDrain();
      if (resumeAfter?.(event)) crash.abort(new Error("The runner died."));
    }
  };
  try {
    await listen(said(`aex-${name}`, message)).catch(async (error: unknown) => {
      if (!crash.signal.aborted) throw error;
      const { values } = await agent.getState(config);
      events.push({ resumed: pick((values as { messages: unknown }).messages) });
      await listen(null as never);
    });
    if (thenSay !== undefined) {
      // As @stigmer/agent does it: the event, then the message as new input of the thread.
      const id = `aex-${name}/${thenSay.id}`;
      const heard = { inbox: { messages: [new HumanMessage({ id, content: thenSay.text })] } };
      events.push({ namespace: [], mode: "updates", data: pick(heard) });
      await listen(said(id, thenSay.text));
    }
  } catch (error) {
    if (stop.signal.aborted) outcome = { kind: "cancelled", reason: "The user pressed Ctrl-C." };
    else if (isGraphDrained(error as Error)) outcome = { kind: "paused", reason: "Ada wants to look." };
    else outcome = { kind: "failed", error: rootCause(error) };
  }
  const lines = [{ executionId: `aex-${name}`, message, outcome }, ...events].map((line) => JSON.stringify(line));
  const file = new URL(`../src/__fixtures__/${name}.events.jsonl`, import.meta.url);
  await writeFile(file, `${withoutChance(lines.join("\n"))}\n`);
  console.log(`${name}: ${events.length} events, ${outcome.kind}`);
}

function said(id: string, content: string): never {
  return { messages: [{ role: "user", id, content }] } as never;
}

const wanted = process.argv.slice(2);
for (const [name, each] of Object.entries(cases))
  if (wanted.length === 0 || wanted.includes(name)) await record(name, each);
