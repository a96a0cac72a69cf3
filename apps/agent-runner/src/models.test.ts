import { ExecutionPhase, MessageType, type AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import { afterAll, beforeAll, expect, it } from "vitest";
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
