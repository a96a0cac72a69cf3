// A run's first step is the model's: what deepagents does in steps of its own before it, each with a checkpoint, is done elsewhere.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { HumanMessage } from "@langchain/core/messages";
import { createAgent as createPlainAgent, createMiddleware } from "langchain";
import { afterEach, expect, it } from "vitest";
import { answer, collect, openWorkbench, type Workbench } from "./__fixtures__/workbench.ts";
import { createModel } from "./models/create-model.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const THREAD = { threadId: "t", runId: "aex-1", input: "Go." };
interface Asked {
  readonly messages: readonly { readonly content: readonly { readonly type: string; readonly id?: string }[] }[];
}
const asked = (at: number): Asked => bench.model.requests[at]!.body as Asked;

it("is the model's", async () => {
  bench = await openWorkbench([{ name: "main", turns: [{ text: "Done." }] }]);
  const events = await collect(await (await bench.agent()).open(THREAD));
  const steps = events.flatMap(({ mode, data }) => (mode === "updates" ? Object.keys(data as object) : []));
  expect(steps).toEqual(["model_request"]);
});

it("shows the model an answer to each call that an earlier run left without one", async () => {
  bench = await openWorkbench([
    { name: "second", match: { human: "Leave it." }, turns: [{ text: "Never mind." }] },
    { name: "first", turns: [{ toolCalls: [{ name: "execute", args: { command: "sleep 20" } }] }] },
  ]);
  const agent = await bench.agent();
  const stop = new AbortController();
  const left = await agent.open(THREAD);
  await expect(async () => {
    for await (const { mode, data } of left.events({ signal: stop.signal })) {
      if (mode === "tools" && (data as { event?: string }).event === "on_tool_start") stop.abort(new Error("enough"));
    }
  }).rejects.toThrow("enough");

  const events = await collect(await agent.open({ threadId: "t", runId: "aex-2", input: "Leave it." }));
  expect(answer(events)).toBe("Never mind.");
  const [, call, result] = asked(1).messages;
  expect(call?.content.at(-1)).toMatchObject({ type: "tool_use", name: "execute" });
  expect(result?.content[0]).toMatchObject({
    type: "tool_result",
    tool_use_id: call?.content.at(-1)?.id,
  });
});

it("puts a long message into a file, and shows the model where it begins and ends", async () => {
  const input = `Begin here.\n${"more words of it\n".repeat(20_000)}End here.`;
  bench = await openWorkbench([{ name: "main", turns: [{ text: "Read it." }] }]);
  const agent = await bench.agent();
  const events = await collect(await agent.open({ ...THREAD, input }));
  expect(answer(events)).toBe("Read it.");
  const [file] = readdirSync(join(bench.directory, "spill", "conversation_history"));
  expect(readFileSync(join(bench.directory, "spill", "conversation_history", file ?? ""), "utf8")).toBe(input);
  const shown = JSON.stringify(asked(0).messages);
  expect(shown.length).toBeLessThan(50_000);
  for (const part of ["Begin here.", "End here.", `/conversation_history/${file}`]) expect(shown).toContain(part);
  // Who looks at the thread sees what was said.
  expect((await agent.open({ ...THREAD, input })).messages[0]?.text).toBe(input);
});

it("begins again where the next step was one that the graph has no more", async () => {
  bench = await openWorkbench([{ name: "main", turns: [{ text: "Done." }] }]);
  const before = createPlainAgent({
    model: await createModel({
      provider: "anthropic",
      model: "claude-sonnet-4-5",
      apiKey: "k",
      baseUrl: bench.model.url,
    }),
    tools: [],
    checkpointer: bench.checkpointer,
    middleware: [
      createMiddleware({
        name: "FilesystemMiddleware",
        beforeAgent: () => {
          throw new Error("killed");
        },
      }),
    ],
  });
  const input = { messages: [new HumanMessage({ id: "aex-1", content: "Go." })] };
  await expect(before.invoke(input, { configurable: { thread_id: "t" } })).rejects.toThrow("killed");

  const agent = await bench.agent();
  const run = await agent.open(THREAD);
  expect(answer(await collect(run))).toBe("Done.");
  expect(bench.model.requests).toHaveLength(1);
  const done = await agent.open(THREAD);
  expect(done.position).toBe("finished");
  expect(done.messages.map(({ type }) => type)).toEqual(["human", "ai"]);
});
