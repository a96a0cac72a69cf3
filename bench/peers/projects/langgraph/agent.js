// The same deep agent as ours, with its own backend for commands and files: a folder for each thread.
import { join } from "node:path";
import { ChatAnthropic } from "@langchain/anthropic";
import { createDeepAgent, LocalShellBackend } from "deepagents";

const { ANTHROPIC_BASE_URL, BENCH_WORKSPACES } = process.env;

export const graph = createDeepAgent({
  model: new ChatAnthropic({ model: "claude-sonnet-4-5", apiKey: "key", anthropicApiUrl: ANTHROPIC_BASE_URL }),
  systemPrompt: "Do what the person asks.",
  backend: ({ configurable }) =>
    new LocalShellBackend({
      rootDir: join(BENCH_WORKSPACES, configurable.thread_id),
      virtualMode: true,
      inheritEnv: true,
    }),
});
