import { HumanMessage } from "@langchain/core/messages";
import { toAgentError } from "../to-agent-error.ts";
import { checkAnswer } from "./answer.ts";
import { type Attempt, inAttempt } from "./attempt.ts";
import { createModel } from "./create-model.ts";
import type { ModelConfig } from "./model-config.ts";

export interface TestedModel {
  /** From the request to the whole answer. */
  readonly latencyMs: number;
}

// Room for a model that thinks before it speaks; nobody pays for what is not said.
const MAX_TOKENS = 256;

/**
 * Asks a model for one word, as a run would ask it: once, without another try. Throws the `AgentError` that would end a run, or
 * the reason of `signal`.
 */
export async function testModel(
  config: ModelConfig,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<TestedModel> {
  const noted: Attempt = { signal };
  const model = await createModel({ ...config, maxTokens: MAX_TOKENS }, 0);
  const question = new HumanMessage("Answer with the one word: ready");
  const began = performance.now();
  try {
    return await inAttempt(noted, async () => {
      const answer = await model.invoke([question], { signal });
      const latencyMs = Math.round(performance.now() - began);
      checkAnswer(answer, config.provider, noted.finishReason);
      return { latencyMs };
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw toAgentError(error, config);
  }
}
