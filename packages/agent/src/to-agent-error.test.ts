import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AgentError } from "./errors.ts";
import { createModel } from "./models/create-model.ts";
import type { ModelConfig, ModelProvider } from "./models/model-config.ts";
import { isRetryable, toAgentError } from "./to-agent-error.ts";

const key = "sk-secret-0123456789abcdef";

let server: Server;
let url: string;
let reply: { status: number; body: unknown };
beforeEach(async () => {
  server = createServer((request, response) => {
    request.resume();
    response.writeHead(reply.status, { "content-type": "application/json" }).end(JSON.stringify(reply.body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function config(provider: ModelProvider): ModelConfig {
  const common = { model: "some-model", baseUrl: url, maxRetries: 0 };
  return provider === "ollama" ? { provider, ...common } : { provider, apiKey: key, ...common };
}

async function failureOf(provider: ModelProvider): Promise<unknown> {
  const model = await createModel(config(provider));
  return model.invoke("Hello", { maxRetries: 0 } as object).then(
    () => expect.unreachable("the model should have failed"),
    (error: unknown) => error,
  );
}

const bodies: Readonly<Record<ModelProvider, (type: string, message: string) => unknown>> = {
  anthropic: (type, message) => ({ type: "error", error: { type, message } }),
  openai: (type, message) => ({ error: { type, message, code: type } }),
  ollama: (_, message) => ({ error: message }),
};

describe.each<ModelProvider>(["anthropic", "openai", "ollama"])("%s", (provider) => {
  it.each([
    [401, "authentication_error", "model-auth", false],
    [404, "not_found_error", "model-not-found", false],
    [429, "rate_limit_error", "model-rate-limited", true],
    [500, "api_error", "model-overloaded", true],
    [529, "overloaded_error", "model-overloaded", true],
    [400, "invalid_request_error", "unknown", false],
  ] as const)("maps %i", async (status, type, code, retryable) => {
    reply = { status, body: bodies[provider](type, `what the service says, with ${key} in it`) };
    const failure = await failureOf(provider);
    const error = toAgentError(failure, config(provider));
    expect(error).toMatchObject({ code });
    expect(error.message).toContain("what the service says");
    expect(`${error.message} ${error.stack}`).not.toContain("0123456789abcdef");
    expect(error.message.includes("some-model")).toBe(code !== "unknown");
    expect(error.message).not.toContain("Troubleshooting");
    expect(isRetryable(failure)).toBe(retryable);
  });

  it("tells when nothing answers", async () => {
    await new Promise((resolve) => server.close(resolve));
    const failure = await failureOf(provider);
    const error = toAgentError(failure, config(provider));
    expect(error.code).toBe("model-unreachable");
    expect(error.message).toContain(url);
    expect(isRetryable(failure)).toBe(true);
    server.listen();
  });
});

it("tells a conversation that is too long from other bad requests", async () => {
  reply = {
    status: 400,
    body: bodies.anthropic("invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"),
  };
  expect(toAgentError(await failureOf("anthropic"), config("anthropic")).code).toBe("context-too-long");
  reply = {
    status: 400,
    body: bodies.openai("context_length_exceeded", "This model's maximum context length is 8192 tokens"),
  };
  expect(toAgentError(await failureOf("openai"), config("openai")).code).toBe("context-too-long");
});

it("doesn't try again when the account has no credit left", () => {
  const error = Object.assign(new Error("You exceeded your current quota"), { status: 429 });
  expect(toAgentError(error).code).toBe("model-out-of-credit");
  expect(isRetryable(error)).toBe(false);
});

it("looks below every wrapping, and stops at circles", () => {
  let error: Error = Object.assign(new Error("invalid x-api-key"), { status: 401 });
  for (let depth = 0; depth < 6; depth += 1) error = new Error("Middleware failed", { cause: error });
  expect(toAgentError(error)).toMatchObject({
    code: "model-auth",
    message: expect.stringContaining("invalid x-api-key") as string,
  });
  const circle = new Error("round and round");
  circle.cause = circle;
  expect(toAgentError(circle).code).toBe("unknown");
  expect(toAgentError("just text").message).toContain("just text");
});

it("tells a failure that comes inside the stream", () => {
  const error = new Error('{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}');
  expect(toAgentError(error).code).toBe("model-overloaded");
});

it("leaves its own errors as they are, also when they were wrapped", () => {
  const error = new AgentError("checkpoint", "The disk is full.");
  expect(toAgentError(error)).toBe(error);
  expect(toAgentError(new Error("outer", { cause: error }))).toBe(error);
  expect(AgentError.is({ code: "checkpoint" })).toBe(false);
});

it("keeps no cause that quotes the key", () => {
  const error = new TypeError(`Headers.append: "${key}\n" is an invalid header value.`);
  const mapped = toAgentError(error, config("anthropic"));
  expect(mapped.message).not.toContain(key);
  expect(mapped.cause).toBeUndefined();
});
