import type { ScriptedToolCall } from "@stigmer/scripted-model";
import { afterEach, expect, it } from "vitest";
import { collect, openWorkbench, type Workbench } from "../__fixtures__/workbench.ts";

let bench: Workbench;
afterEach(() => bench[Symbol.asyncDispose]());

const task = (name: string): ScriptedToolCall => {
  return { name: "task", args: { subagent_type: name, description: `For ${name}` } };
};

interface Body {
  readonly system: string | readonly { readonly text: string }[];
  readonly tools: readonly { readonly name: string; readonly description: string }[];
}

it("tells each agent of the tree who it is, what it knows, where it works, and to whom it can hand over", async () => {
  bench = await openWorkbench([
    { name: "general-purpose", match: { human: "For general-purpose" }, turns: [{ text: "." }] },
    { name: "digger", match: { human: "For digger" }, turns: [{ text: "." }] },
    { name: "lead", match: { human: "For lead" }, turns: [{ toolCalls: [task("digger")] }, { text: "." }] },
    { name: "main", turns: [{ toolCalls: [task("lead"), task("general-purpose")] }, { text: "Done." }] },
  ]);
  const agent = await bench.agent({
    instructions: "You run the site.",
    skillsSection: "## Skills\n\n- **plan**: How we plan.",
    context: { organization: "acme", workingDirectory: "/workspace", date: "2026-11-21" },
    subAgents: [
      { name: "lead", description: "Leads a dig.", instructions: "You lead a dig.", subAgents: ["digger"] },
      {
        name: "digger",
        description: "Digs.",
        instructions: "You dig.",
        skillsSection: "## Skills\n\n- **dig**: How we dig.",
      },
    ],
  });
  await collect(await agent.open({ threadId: "t", runId: "r", input: "Go." }));
  const prompts = new Map<string, string>();
  for (const { scenario = "", body } of bench.model.requests) {
    if (prompts.has(scenario)) continue;
    const { system, tools } = body as Body;
    const handOver = tools.find(({ name }) => name === "task")?.description ?? "(no task tool)";
    const text = typeof system === "string" ? system : system.map((block) => block.text).join("\n--- block ---\n");
    prompts.set(scenario, `${text}\n=== task ===\n${handOver}`);
  }
  for (const scenario of ["main", "lead", "digger", "general-purpose"])
    expect(prompts.get(scenario)).toMatchSnapshot(scenario);
});
