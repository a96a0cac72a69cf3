import type { IncomingHttpHeaders } from "node:http";
import { ScriptedModelError } from "../errors.ts";
import type { FailureReason } from "../scenario/scenario.ts";
import type { Failure } from "./protocol.ts";

// What Chat Completions and the Responses API share: https://platform.openai.com/docs/guides/error-codes.

const typesByStatus: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "invalid_request_error",
  403: "invalid_request_error",
  404: "invalid_request_error",
  413: "invalid_request_error",
  429: "requests",
  500: "server_error",
  503: "server_error",
};

export function encodeOpenAiFailure(failure: Failure): { error: Record<string, unknown> } {
  const { status, type, message, code } = failure;
  return { error: { message, type: type ?? typesByStatus[status] ?? "server_error", param: null, code: code ?? null } };
}

export function describeOpenAiFailure(reason: FailureReason, model: string): Failure {
  return failures(model)[reason];
}

const failures = (model: string): Readonly<Record<FailureReason, Failure>> => ({
  "bad-key": {
    status: 401,
    code: "invalid_api_key",
    message:
      "Incorrect API key provided: any. You can find your API key at https://platform.openai.com/account/api-keys.",
  },
  "no-such-model": {
    status: 404,
    code: "model_not_found",
    message: `The model \`${model}\` does not exist or you do not have access to it.`,
  },
  "context-too-long": {
    status: 400,
    code: "context_length_exceeded",
    message: "This model's maximum context length is 8192 tokens. However, your messages resulted in 10000 tokens.",
  },
  refused: {
    status: 400,
    code: "content_policy_violation",
    message: "Your request was rejected as a result of our safety system.",
  },
  "out-of-credit": {
    status: 429,
    type: "insufficient_quota",
    code: "insufficient_quota",
    message: "You exceeded your current quota, please check your plan and billing details.",
  },
  "rate-limited": {
    status: 429,
    code: "rate_limit_exceeded",
    message: `Rate limit reached for ${model} on requests per min (RPM): Limit 3, Used 3, Requested 1.`,
  },
  overloaded: {
    status: 503,
    type: "service_unavailable_error",
    message: "That model is currently overloaded with other requests. You can retry your request.",
  },
  broken: { status: 500, message: "The server had an error while processing your request. Sorry about that!" },
});

/** Any key will do, but the real API refuses a request without one, and so must its stand-in. */
export function requireBearer(headers: IncomingHttpHeaders): void {
  if (/^Bearer \S/.test(headers.authorization ?? "")) return;
  const message = "You didn't provide an API key. You need to provide it in an Authorization header (Bearer YOUR_KEY).";
  throw new ScriptedModelError("no-credentials", message);
}

/** When all things were made, for those who ask: the same request gets the same answer. */
export const created = 1_735_689_600;
