import { HumanMessage } from "@langchain/core/messages";
import { toAgentError } from "../to-agent-error.ts";
import { checkAnswer } from "./answer.ts";
import { type Attempt, inAttempt } from "./attempt.ts";
import { createModel } from "./create-model.ts";
import type { ModelConfig } from "./model-config.ts";
import type { TestedModel } from "./test-model.ts";

// Room for a model that thinks before it speaks; nobody pays for what is not said.
const MAX_TOKENS = 256;

/** Behind `testModel`. */
export async function askForOneWord(config: ModelConfig, signal: AbortSignal | undefined): Promise<TestedModel> {
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
