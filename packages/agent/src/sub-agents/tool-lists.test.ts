import { type StructuredTool, tool } from "@langchain/core/tools";
import type { ScriptedToolCall } from "@stigmer/scripted-model";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import type { AgentOptions, SubAgentSpec } from "../agent.ts";
import { answer, collect, openWorkbench, toolResults, type Workbench } from "../__fixtures__/workbench.ts";
import { hasTool } from "./tool-lists.ts";

describe("hasTool", () => {
  const name = fc.stringMatching(/^[a-z_.(+]{1,8}$/);

  it("takes a star for any characters, and every other character for itself", () => {
    fc.assert(
      fc.property(name, name, name, (start, middle, end) => {
        const has = hasTool({ allowedTools: [`${start}*${end}`] });
        expect(has(start + middle + end)).toBe(true);
        expect(has(start + end)).toBe(true);
        expect(has(`?${start}${end}`)).toBe(false);
        expect(has(`${start}${end}?`)).toBe(false);
        expect(hasTool({ allowedTools: ["*"] })(`${start}\n${end}`)).toBe(true);
        expect(hasTool({ allowedTools: [start] })(`${start}${end}`)).toBe(false);
      }),
    );
  });

  it("lets what is disallowed win, and an empty list of allowed tools say nothing", () => {
    fc.assert(
      fc.property(fc.array(name), fc.array(name), name, (allowedTools, disallowedTools, tool) => {
        const expected = !disallowedTools.includes(tool) && (allowedTools.length === 0 || allowedTools.includes(tool));
        expect(hasTool({ allowedTools, disallowedTools })(tool)).toBe(expected);
      }),
    );
  });
});

describe("an agent", () => {
  let bench: Workbench;
  afterEach(() => bench[Symbol.asyncDispose]());

  const named = (name: string): StructuredTool =>
    tool(async () => name, { name, description: "d", schema: z.object({}) }) as unknown as StructuredTool;
  const tools = [named("git__log"), named("git__push"), named("web")];
  const task = (name: string): ScriptedToolCall => {
    return { name: "task", args: { subagent_type: name, description: `For ${name}` } };
  };
  const offered = (scenario: string): string[] => {
    const { body } = bench.model.requests.find((request) => request.scenario === scenario)!;
    return ((body as { tools?: { name: string }[] }).tools ?? []).map(({ name }) => name).toSorted();
  };
  const spec = (name: string, more: Partial<SubAgentSpec>): SubAgentSpec => {
    return { name, description: "d", instructions: `You are ${name}.`, ...more };
  };

  const subAgents = [
    spec("inherits", {}),
    spec("own_tools", { tools: [named("db")] }),
    spec("own_list", { allowedTools: ["execute", "git__*"], disallowedTools: ["git__push"] }),
    spec("without", { disallowedTools: ["*_file", "git*"] }),
    spec("hands_on", { subAgents: ["inherits"] }),
  ];

  it("shows a model only the tools that its agent has, and knows no others", { timeout: 60_000 }, async () => {
    bench = await openWorkbench([
      ...[...subAgents.map(({ name }) => name), "general-purpose"].map((name) => ({
        name,
        match: { human: `For ${name}` },
        turns: [
          { toolCalls: [{ name: "edit_file", args: { file_path: "a", old_string: "a", new_string: "b" } }] },
          { text: "." },
        ],
      })),
      {
        name: "main",
        turns: [
          {
            toolCalls: [
              ...[...subAgents.map(({ name }) => name), "general-purpose"].map(task),
              { name: "execute", args: { command: "touch /tmp/never" } },
              { name: "git__push" },
            ],
          },
          { text: "Done." },
        ],
      },
    ]);
    const agent = await bench.agent({
      tools,
      subAgents,
      allowedTools: ["read_file", "write_file", "task", "git__*", "execute"],
      disallowedTools: ["*push", "execute"],
    });
    const events = await collect(await agent.open({ threadId: "t", runId: "r", input: "Go." }));
    expect(answer(events)).toBe("Done.");
    expect(offered("main")).toEqual(["git__log", "read_file", "task", "write_file"]);
    expect(offered("inherits")).toEqual(["git__log", "read_file", "write_file"]);
    expect(offered("general-purpose")).toEqual(["git__log", "read_file", "write_file"]);
    expect(offered("own_tools")).toEqual(["db", "read_file", "write_file"]);
    expect(offered("own_list")).toEqual(["execute", "git__log"]);
    expect(offered("without")).toEqual([]);
    expect(offered("hands_on")).toEqual(["git__log", "read_file", "task", "write_file"]);
    const refused = toolResults(events).filter(({ status }) => status === "error");
    expect(refused.map(({ name }) => name).toSorted()).toEqual([
      ...Array.from({ length: 6 }, () => "edit_file"),
      "execute",
      "git__push",
    ]);
    for (const { name, content } of refused) expect(content).toContain(`${name} is not a valid tool`);
  });

  it.each<[string, Partial<AgentOptions>, RegExp]>([
    [
      "a tool that nobody has",
      { allowedTools: ["read_file", "raed_file", "nothing*"], disallowedTools: ["exec"] },
      /tools of the agent name "raed_file", which is no tool of it \(known: delete, [^)]*git__log[^)]*\); disallowed_tools of the agent name "exec"/,
    ],
    [
      "a tool of the agent that the sub-agent does not have",
      { subAgents: [spec("x", { tools: [named("db")], allowedTools: ["web", "db", "task"] })] },
      /tools of sub-agent "x" name "web", which is no tool of it \(known: [^)]*db[^)]*\)/,
    ],
    [
      "a tool of a sub-agent with a name that is taken",
      { subAgents: [spec("x", { tools: [named("execute"), named("a"), named("a")] })] },
      /sub-agent "x": a tool is called "execute", as one that every agent has; sub-agent "x": two tools are called "a"/,
    ],
    [
      "a model of a sub-agent without a key",
      { subAgents: [spec("x", { model: { provider: "anthropic", model: "m", apiKey: "" } })] },
      /sub-agent "x": the anthropic model has no API key/,
    ],
    [
      "a sub-agent that nobody knows",
      { subAgents: [spec("x", { subAgents: ["y", "general-purpose"] })] },
      /sub_agents of sub-agent "x" name "y", which the agent doesn't have \(known: "general-purpose"\)/,
    ],
    [
      "a circle",
      {
        subAgents: [
          spec("start", { subAgents: ["a"] }),
          spec("a", { subAgents: ["b"] }),
          spec("b", { subAgents: ["c"] }),
          spec("c", { subAgents: ["a"] }),
        ],
      },
      /sub_agents go round in a circle: "a" → "b" → "c" → "a";/,
    ],
    ["a sub-agent of its own", { subAgents: [spec("a", { subAgents: ["a"] })] }, /circle: "a" → "a"/],
  ])("refuses %s before the first model call", async (_, options, message) => {
    bench = await openWorkbench([{ name: "main", turns: [{ text: "Hi." }] }]);
    await expect(bench.agent({ tools, ...options })).rejects.toMatchObject({
      code: "invalid-agent",
      message: expect.stringMatching(message) as string,
    });
    expect(bench.model.requests).toEqual([]);
  });

  it("allows sub-agents that two others share", async () => {
    bench = await openWorkbench([{ name: "main", turns: [{ text: "Hi." }] }]);
    const shared = [spec("a", { subAgents: ["c"] }), spec("b", { subAgents: ["c", "a"] }), spec("c", {})];
    await expect(bench.agent({ subAgents: shared })).resolves.toBeDefined();
  });
});
