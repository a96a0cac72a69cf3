import { setTimeout as sleep } from "node:timers/promises";
import { type AgentMiddleware, createMiddleware } from "langchain";
import { isRetryable, toAgentError } from "../to-agent-error.ts";
import { checkAnswer } from "./answer.ts";
import { type Attempt, inAttempt } from "./attempt.ts";
import type { ModelConfig } from "./model-config.ts";

/**
 * Tells, as a `custom` event, that a model call failed and is made again. What it said so far is void: `message_id` names it, if
 * it said anything.
 */
export interface ModelRetryEvent {
  readonly type: "model_retry";
  readonly message_id?: string;
  /** The try that failed, counted from 1. */
  readonly attempt: number;
  readonly wait_ms: number;
  readonly error: string;
}

const firstWaitMs = 500;
const longestBackoffMs = 30_000;
/** A provider may ask for a longer wait than our own, up to this. */
const longestWaitMs = 60_000;

/**
 * Makes a model call again after 408, 429, 5xx, overload, broken connections and answers that broke off, with growing waits or
 * the one that the provider asks for. A wait ends with the run. What fails in the end is told as `AgentError`, of the model that
 * was called, which may be a sub-agent's own.
 */
export function modelRetries(config: ModelConfig): AgentMiddleware {
  return createMiddleware({
    name: "modelRetries",
    wrapModelCall: async (request, handler) => {
      const { signal, writer } = request.runtime as {
        readonly signal?: AbortSignal;
        readonly writer?: (event: ModelRetryEvent) => void;
      };
      // The client's own retries are for calls that pass no middleware.
      const call = { ...request, modelSettings: { ...request.modelSettings, maxRetries: 0 } };
      for (let attempt = 1; ; attempt += 1) {
        const noted: Attempt = { signal };
        try {
          return await inAttempt(noted, async () => {
            const answer = await handler(call);
            checkAnswer(answer, config.provider, noted.finishReason);
            return answer;
          });
        } catch (error) {
          if (signal?.aborted === true) throw error;
          const told = toAgentError(error, config, { attempts: attempt });
          // Not the model's: a run that rests, an interrupt, a fault of ours.
          if (!/^(model-|context-)/.test(told.code)) throw error;
          if (attempt > (config.maxRetries ?? 4) || !isRetryable(error)) throw told;
          const wait = waitBefore(attempt, noted.retryAfterMs);
          const { messageId } = noted;
          writer?.({
            type: "model_retry",
            ...(messageId !== undefined && { message_id: messageId }),
            attempt,
            wait_ms: wait,
            error: told.message,
          });
          await sleep(wait, undefined, { signal });
        }
      }
    },
  });
}

function waitBefore(attempt: number, retryAfterMs: number | undefined): number {
  if (retryAfterMs !== undefined) return Math.min(retryAfterMs, longestWaitMs);
  const longest = Math.min(firstWaitMs * 2 ** (attempt - 1), longestBackoffMs);
  // Runs that failed together must not come back together.
  return Math.round(longest * (0.75 + Math.random() / 4));
}
