// The same deep agent as ours, as the one step of a workflow.
import { join } from "node:path";
import { ChatAnthropic } from "@langchain/anthropic";
import { createStep, createWorkflow } from "@mastra/core/workflows";
import { createDeepAgent, LocalShellBackend } from "deepagents";
import { z } from "zod";

const { ANTHROPIC_BASE_URL, BENCH_WORKSPACES } = process.env;

const inputSchema = z.object({ message: z.string() });
const outputSchema = z.object({ answer: z.string() });
const model = new ChatAnthropic({ model: "claude-sonnet-4-5", apiKey: "key", anthropicApiUrl: ANTHROPIC_BASE_URL });

const agent = createStep({
  id: "agent",
  inputSchema,
  outputSchema,
  execute: async ({ inputData, runId, writer }) => {
    const backend = new LocalShellBackend({
      rootDir: join(BENCH_WORKSPACES, runId),
      virtualMode: true,
      inheritEnv: true,
    });
    const graph = createDeepAgent({ model, systemPrompt: "Do what the person asks.", backend });
    const input = { messages: [{ role: "user", content: inputData.message }] };
    let answer = "";
    for await (const [message] of await graph.stream(input, { streamMode: "messages" })) {
      if (message.type === "ai" && message.text === "") continue;
      await writer.write({ type: message.type, text: message.text });
      if (message.type === "ai") answer += message.text;
    }
    return { answer };
  },
});

export const workflow = createWorkflow({ id: "bench", inputSchema, outputSchema }).then(agent).commit();
