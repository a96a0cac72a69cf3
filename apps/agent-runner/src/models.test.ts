import { toJson } from "@bufbuild/protobuf";
import {
  AgentExecutionStatusSchema,
  ExecutionPhase,
  MessageType,
  type AgentExecutionStatus,
} from "@stigmer/protos/agentexecution/v1";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPlatform, type Platform } from "./__fixtures__/platform.ts";

// Which model a run gets, by what its execution, its agent and the runner's environment say. The model's words are scripted.

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform({
    name: "models",
    scenarios: [
      {
        name: "unknown model",
        match: { model: { regex: "^(gpt-0|claude-0|nothing:1b)$" } },
        turns: [{ error: { reason: "no-such-model" } }],
      },
      {
        name: "deep",
        match: { system: "You write files." },
        turns: [
          { toolCalls: [{ name: "write_file", args: { file_path: "deep.txt", content: "deep" } }] },
          { text: "Wrote it." },
        ],
      },
      {
        name: "work",
        match: { human: "work" },
        turns: [
          {
            thinking: "A plan first.",
            toolCalls: [{ name: "write_todos", args: { todos: [{ content: "Write", status: "in_progress" }] } }],
          },
          {
            text: "Two at once.",
            toolCalls: [
              { name: "write_file", args: { file_path: "a.txt", content: "one" } },
              { name: "execute", args: { command: "echo out; exit 3" } },
            ],
          },
          { toolCalls: [{ name: "read_file", args: { file_path: "none.txt" } }, { name: "no_such_tool" }] },
          { toolCalls: [{ name: "task", args: { description: "Write deep.txt", subagent_type: "writer" } }] },
          { text: "All is done." },
        ],
      },
      {
        name: "half",
        match: { human: "break off" },
        turns: [{ text: "The whole answer.", chunkSize: 3, cut: { afterChunks: 3, how: "end", times: 1 } }],
      },
      {
        name: "any",
        turns: [
          { toolCalls: [{ name: "execute", args: { command: "echo worked" } }] },
          { text: 'It {{ result(1, "worked") }}.' },
        ],
      },
    ],
  });
  const { url } = platform.model;
  await platform.runner({ OPENAI_BASE_URL: `${url}/v1`, OLLAMA_BASE_URL: url, OPENAI_API_KEY: "scripted-openai-key" });
}, 60_000);
afterAll(() => platform[Symbol.asyncDispose]());

interface Names {
  readonly agent?: string;
  readonly execution?: string;
}

async function run({ agent, execution }: Names): Promise<{ status: AgentExecutionStatus; asked: unknown[][] }> {
  const before = platform.model.requests.length;
  const applied = await platform.applyAgent({ modelName: agent ?? "" });
  const spec = { agentId: applied.metadata?.id ?? "", message: "Go.", executionConfig: { modelName: execution ?? "" } };
  const status = await platform.run(spec);
  const requests = platform.model.requests.slice(before);
  const asked = requests.map(({ path, body }) => [path, (body as { model: string }).model]);
  return { status, asked };
}

it.each([
  ["the runner's own", {}, "/v1/messages", "claude-sonnet-4-5"],
  ["the agent's", { agent: "openai:gpt-5" }, "/v1/chat/completions", "gpt-5"],
  [
    "the execution's before the agent's",
    { agent: "openai:gpt-5", execution: "ollama:qwen2.5-coder:7b" },
    "/api/chat",
    "qwen2.5-coder:7b",
  ],
  ["one with a dot", { execution: "claude-sonnet-4.5" }, "/v1/messages", "claude-sonnet-4-5"],
])("uses %s", async (_, names, path, model) => {
  const { status, asked } = await run(names);
  expect(status.error).toBe("");
  expect(status.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
  expect(status.messages.findLast(({ type }) => type === MessageType.MESSAGE_AI)?.content).toBe("It worked.");
  expect(asked).toEqual([
    [path, model],
    [path, model],
  ]);
});

it.each([
  [
    "an execution's",
    { execution: "google:gemini-3" },
    /^spec\.execution_config\.model_name: There is no model provider "google" \(known: anthropic, openai, ollama\)/,
  ],
  ["an agent's", { agent: "google:gemini-3" }, /^model_name of agent tester: There is no model provider "google"/],
])("fails before anything is asked for %s unknown provider", async (_, names, error) => {
  const { status, asked } = await run(names);
  expect(status.phase).toBe(ExecutionPhase.EXECUTION_FAILED);
  expect(status.error).toMatch(error);
  expect(status.messages.at(-1)?.type).toBe(MessageType.MESSAGE_SYSTEM);
  expect(asked).toEqual([]);
});

describe("one scenario over every protocol", () => {
  const names = ["claude-sonnet-4-5", "gpt-5.5", "gpt-5.6", "ollama:qwen2.5-coder:7b"];
  const subAgents = [{ name: "writer", description: "Writes.", instructions: "You write files." }];
  const of = async (modelName: string, message: string): Promise<AgentExecutionStatus> => {
    const agent = await platform.applyAgent({ subAgents }, "worker");
    return platform.run({ agentId: agent.metadata?.id ?? "", message, executionConfig: { modelName } });
  };

  it("ends in one status", { timeout: 120_000 }, async () => {
    const [first, ...others] = await Promise.all(names.map((name) => of(name, "work")));
    expect(first?.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
    expect(first?.toolCalls.map(({ name }) => name)).toHaveLength(6);
    expect(first?.messages.map(({ reasoning }) => reasoning).join("")).toBe("A plan first.");
    for (const other of others) expect(withoutProvider(other)).toEqual(withoutProvider(first!));
  });

  it.each(names)("keeps nothing of an answer that broke off and was made again: %s", async (name) => {
    const status = await of(name, "break off");
    expect(status.messages.map(({ content }) => content)).toEqual(["break off", "The whole answer."]);
  });
});

/** Leaves out what differs from run to run, and what providers count in ways of their own. */
function withoutProvider(status: AgentExecutionStatus): unknown {
  const differs =
    /^(id|.*Id|usage|modelCalls|timing|model|modelName|timestamp|.*At|.*Ms|revision|hash|.*Hash|audit|.*Time|contextId)$/;
  const walk = (value: unknown): unknown => {
    if (typeof value === "string") return value.replace(/(ses|aex)[-_][a-z0-9]+/gi, "<id>");
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value !== "object" || value === null) return value;
    const fields = Object.entries(value).filter(([key]) => !differs.test(key));
    return Object.fromEntries(fields.map(([key, field]) => [key, walk(field)]));
  };
  return walk(toJson(AgentExecutionStatusSchema, status));
}

it.each([["gpt-0"], ["claude-0"], ["ollama:nothing:1b"]])(
  "names the model that the provider does not have: %s",
  async (execution) => {
    const { status, asked } = await run({ execution });
    expect(status.phase).toBe(ExecutionPhase.EXECUTION_FAILED);
    expect(status.error).toContain(execution.replace(/^ollama:/, ""));
    expect(status.error).toMatch(/was not found/);
    expect(asked).toHaveLength(1);
  },
);

it("names the variable of a key that is missing", async () => {
  await using keyless = await startPlatform({
    name: "keyless",
    scenarios: [{ name: "any", turns: [{ text: "Hi." }] }],
  });
  await keyless.runner();
  const agent = await keyless.applyAgent();
  const spec = { agentId: agent.metadata?.id ?? "", message: "Go.", executionConfig: { modelName: "gpt-5" } };
  const status = await keyless.run(spec);
  expect(status.phase).toBe(ExecutionPhase.EXECUTION_FAILED);
  expect(status.error).toMatch(
    /^spec\.execution_config\.model_name: The model gpt-5 is openai's, .* set OPENAI_API_KEY/,
  );
  expect(keyless.model.requests).toEqual([]);
});
