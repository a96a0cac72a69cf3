// The job done by deepagents as it comes, in this process: what one calls who has no platform. The graph is made once, as LangGraph's
// server does it, and nothing is kept.
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { ChatAnthropic } from "@langchain/anthropic";
import type { BaseMessage } from "@langchain/core/messages";
import { createDeepAgent, LocalShellBackend } from "deepagents";
import { ANSWER } from "./job-scenario.ts";
import type { Run, Times } from "./job.ts";

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
  return async (): Promise<Times> => {
    const startedAt = performance.now();
    let [first, token, results, text] = [0, 0, 0, ""];
    const input = { messages: [{ role: "user", content: "Go." }] };
    const stream = await graph.stream(input, { streamMode: "messages", configurable: { thread_id: randomUUID() } });
    for await (const [message] of stream as AsyncIterable<[BaseMessage]>) {
      const now = performance.now() - startedAt;
      first ||= now;
      if (message.type === "tool") {
        results += 1;
      } else if (message.text !== "") {
        token ||= now;
        text += message.text;
      }
    }
    if (results !== 2 || !text.includes(ANSWER)) {
      throw new Error(`The plain agent did another job: ${results} tool calls, and "${text.slice(0, 200)}".`);
    }
    return { first, token, whole: performance.now() - startedAt };
  };
}

/** deepagents' type of what it hands over does not have all that LangGraph's runtime has. */
function threadOf(runtime: object): string {
  const { configurable } = runtime as { readonly configurable?: Readonly<Record<string, unknown>> };
  const thread = configurable?.["thread_id"];
  if (typeof thread !== "string") throw new Error("A run of the plain agent has no thread.");
  return thread;
}
