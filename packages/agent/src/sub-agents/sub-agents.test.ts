import { type StructuredTool, tool } from "@langchain/core/tools";
import type { RecordedRequest, ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, expect, it } from "vitest";
import { z } from "zod";
import { answer, collect, openWorkbench, type Workbench } from "../__fixtures__/workbench.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const task = (name: string, description: string): ScriptedToolCall => {
  return { name: "task", args: { subagent_type: name, description } };
};

const named = (name: string): StructuredTool =>
  tool(async () => name, { name, description: "d", schema: z.object({}) }) as unknown as StructuredTool;

const offered = ({ body }: RecordedRequest): string[] =>
  (body as { tools: { name: string }[] }).tools.map(({ name }) => name).toSorted();

it("gives a sub-agent its own model, and its own tools in place of the agent's", async () => {
  bench = await openWorkbench([
    { name: "own", match: { human: "Dig" }, turns: [{ text: "Dug." }] },
    { name: "same", match: { human: "Look" }, turns: [{ text: "Looked." }] },
    { name: "main", turns: [{ toolCalls: [task("own", "Dig"), task("same", "Look")] }, { text: "Done." }] },
  ]);
  const model = { provider: "anthropic", model: "other-model", apiKey: "k", baseUrl: bench.model.url } as const;
  const spec = { description: "d", instructions: "i" };
  const agent = await bench.agent({
    tools: [named("mine")],
    subAgents: [
      { ...spec, name: "own", model, tools: [named("theirs")] },
      { ...spec, name: "same" },
    ],
  });
  expect(answer(await collect(await agent.open({ threadId: "t", runId: "r", input: "Go." })))).toBe("Done.");
  const requests = Object.fromEntries(bench.model.requests.map((request) => [request.scenario, request]));
  expect((requests["own"]!.body as { model: string }).model).toBe("other-model");
  expect((requests["same"]!.body as { model: string }).model).toBe("claude-sonnet-4-5");
  expect(offered(requests["own"]!).filter((name) => ["mine", "theirs"].includes(name))).toEqual(["theirs"]);
  expect(offered(requests["same"]!).filter((name) => ["mine", "theirs"].includes(name))).toEqual(["mine"]);
});
