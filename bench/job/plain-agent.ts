// The job done by deepagents as it comes, in this process: what one calls who has no platform. The graph is made once, as LangGraph's
// server does it, and nothing is kept.
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { ChatAnthropic } from "@langchain/anthropic";
import type { BaseMessage } from "@langchain/core/messages";
import { createDeepAgent, LocalShellBackend } from "deepagents";
import type { Run } from "./job.ts";
import { type Seen, timesOf } from "./times-of.ts";

export interface PlainAgentOptions {
  /** Gets a folder for each run. */
  readonly folder: string;
  readonly modelUrl: string;
}

export function createPlainAgent({ folder, modelUrl }: PlainAgentOptions): Run {
  const graph = createDeepAgent({
    model: new ChatAnthropic({ model: "claude-sonnet-4-5", apiKey: "key", anthropicApiUrl: modelUrl }),
    systemPrompt: "Do what the person asks.",
    backend: (runtime) =>
      new LocalShellBackend({ rootDir: join(folder, threadOf(runtime)), virtualMode: true, inheritEnv: true }),
  });
  return async () => {
    const startedAt = performance.now();
    const input = { messages: [{ role: "user", content: "Go." }] };
    const stream = await graph.stream(input, { streamMode: "messages", configurable: { thread_id: randomUUID() } });
    const read = ([message]: readonly [BaseMessage]): Seen =>
      message.type === "tool" ? { result: true } : { text: message.text };
    return timesOf(stream as AsyncIterable<[BaseMessage]>, { name: "The plain agent", startedAt, read });
  };
}

/** deepagents' type of what it hands over does not have all that LangGraph's runtime has. */
function threadOf(runtime: object): string {
  const { configurable } = runtime as { readonly configurable?: Readonly<Record<string, unknown>> };
  const thread = configurable?.["thread_id"];
  if (typeof thread !== "string") throw new Error("A run of the plain agent has no thread.");
  return thread;
}
