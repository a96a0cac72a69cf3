import type { StructuredTool } from "@langchain/core/tools";
import { toDeepAgentsBackend } from "@stigmer/sandbox/deepagents";
import { afterEach, expect, it } from "vitest";
import { collect, openWorkbench, toolResults, type Workbench } from "../__fixtures__/workbench.ts";
import { fileTools } from "./files.ts";

const benches: Workbench[] = [];
afterEach(async () => {
  for (const bench of benches.splice(0)) await bench[Symbol.asyncDispose]();
});

async function open(content: string): Promise<Workbench> {
  const note = { file_path: "note", content };
  const bench = await openWorkbench([
    {
      name: "notes",
      turns: [
        { toolCalls: [{ name: "write_file", args: note }] },
        { toolCalls: [{ name: "read_file", args: { file_path: "note" } }] },
        { text: "Done." },
      ],
    },
  ]);
  benches.push(bench);
  return bench;
}

it("works in the sandbox of the agent that called, whichever are at work beside it", async () => {
  const both = [await open("of the first"), await open("of the second")];
  const read = await Promise.all(
    both.map(async (bench) => {
      const agent = await bench.agent();
      const events = await collect(await agent.open({ threadId: "t", runId: "aex-1", input: "Go." }));
      return toolResults(events).at(-1)?.content;
    }),
  );
  expect(read).toEqual([expect.stringContaining("of the first"), expect.stringContaining("of the second")]);
});

it("gives every agent the same tools, whose schemas are converted once", async () => {
  const { sandbox } = await open("");
  const toolsOf = () => {
    const options = { execute: { name: "execute" } as StructuredTool, outputLimit: 30_000, has: () => true };
    return fileTools(toDeepAgentsBackend(sandbox), options).flatMap(({ tools = [] }) => tools.slice(0, -1));
  };
  const tools = toolsOf();
  expect(tools.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["ls", "read_file", "write_file", "edit_file", "delete", "glob", "grep"]),
  );
  for (const [index, tool] of toolsOf().entries()) expect(tool).toBe(tools[index]);
});
