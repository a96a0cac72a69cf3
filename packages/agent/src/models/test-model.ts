import type { ModelConfig } from "./model-config.ts";

export interface TestedModel {
  /** From the request to the whole answer. */
  readonly latencyMs: number;
}

/**
 * Asks a model for one word, as a run would ask it: once, without another try. LangChain and the model's provider are loaded
 * here, not by importing this package. Throws the `AgentError` that would end a run, or the reason of `signal`.
 */
export async function testModel(
  config: ModelConfig,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<TestedModel> {
  const { askForOneWord } = await import("./ask-for-one-word.ts");
  return askForOneWord(config, signal);
}
