import { resolveHome } from "@stigmer/config";
import { expect, test } from "vitest";
import type { DaemonState } from "../../daemon/daemon-state.ts";
import { readDetails } from "./daemon-status.ts";

const homes = resolveHome({ STIGMER_HOME: "/nowhere" });
const NOBODY = "http://127.0.0.1:9";

const modelWith = async (modelEnvironment: Record<string, string>): Promise<unknown> => {
  const state = { processes: [], endpoint: "", modelEnvironment } as unknown as DaemonState;
  return (await readDetails(state, homes)).model;
};

test("a daemon without a model is told to be started again once there is a key, for it keeps those that it had", async () => {
  const none = await modelWith({ OLLAMA_BASE_URL: NOBODY });
  expect(none).toEqual({ fault: expect.stringMatching(/^No model is configured: .* Then `stigmer local restart`\.$/) });
  const other = await modelWith({ OLLAMA_BASE_URL: NOBODY, STIGMER_LLM_MODEL: "openai:gpt-5" });
  expect(other).toEqual({ fault: expect.stringMatching(/set OPENAI_API_KEY\. Then `stigmer local restart`\.$/) });
});

test("a model that can be had needs no start", async () => {
  expect(await modelWith({ STIGMER_LLM_MODEL: "claude-sonnet-4-5", ANTHROPIC_API_KEY: "set" })).toEqual({
    name: "anthropic:claude-sonnet-4-5",
  });
  expect(await modelWith({ STIGMER_LLM_MODEL: "ollama:x", OLLAMA_BASE_URL: NOBODY })).toEqual({
    name: "ollama:x",
    fault: expect.stringMatching(/^Ollama does not answer/),
  });
});
