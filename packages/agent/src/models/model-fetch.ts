import { UnreadableAnswer } from "./answer.ts";
import { currentAttempt } from "./attempt.ts";
import { joinPieces } from "./join-pieces.ts";
import type { ModelProvider } from "./model-config.ts";
import { readRetryAfter } from "./retry-after.ts";

/**
 * The `fetch` of every provider's client. It does what the clients leave out: it notes `retry-after` for whoever tries again,
 * refuses pages that are no model's answer, joins pieces that come together, and, for Ollama's, closes the socket as soon as the
 * call is aborted and tells of what goes wrong in mid-answer (its client drops lines that it can't read).
 */
export function createModelFetch(provider: ModelProvider): typeof globalThis.fetch {
  return async (input, init) => {
    const attempt = currentAttempt();
    const signals = [init?.signal, attempt?.signal].filter((signal) => signal instanceof AbortSignal);
    const response = await fetch(input, { ...init, signal: AbortSignal.any(signals) });
    if (!response.ok) {
      if (attempt !== undefined) attempt.retryAfterMs = readRetryAfter(response.headers);
      return provider === "ollama" ? asOllamaError(response) : response;
    }
    const type = response.headers.get("content-type") ?? "";
    if (/\b(html|xml)\b/i.test(type)) {
      await response.body?.cancel();
      const url = typeof input === "string" ? input : input instanceof URL ? input.href : input.url;
      const { origin, pathname } = new URL(url);
      throw new UnreadableAnswer(`${origin}${pathname} answers with ${type}, as no model does`, { retryable: false });
    }
    if (response.body === null || !isStream(type)) return response;
    const { status, headers } = response;
    const body = provider === "ollama" ? ReadableStream.from(wholeLines(response.body)) : response.body;
    return new Response(joinPieces(body, provider), { status, headers });
  };
}

function isStream(type: string): boolean {
  return type.includes("text/event-stream") || type.includes("ndjson");
}

/** Its client prints what is no JSON instead of telling it. */
async function asOllamaError(response: Response): Promise<Response> {
  const { status, statusText, headers } = response;
  if (headers.get("content-type")?.includes("application/json") === true) return response;
  const text = (await response.text()).replace(/<[^>]*>/g, " ").trim();
  return Response.json({ error: text === "" ? `${status} ${statusText}` : text }, { status });
}

/** The lines as they came; a bad one ends them, once those before it have been read. */
async function* wholeLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let rest = "";
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    const { good, failure } = readLines(lines);
    if (good.length > 0) yield encoder.encode(`${good.join("\n")}\n`);
    if (failure) throw failure.reason;
  }
  rest += decoder.decode();
  if (rest.trim() === "") return;
  checkLine(rest);
  yield encoder.encode(rest);
}

/** The lines up to the first bad one. */
function readLines(lines: readonly string[]): { good: readonly string[]; failure?: { readonly reason: unknown } } {
  const good: string[] = [];
  for (const line of lines) {
    if (line.trim() === "") continue;
    try {
      checkLine(line);
    } catch (reason) {
      return { good, failure: { reason } };
    }
    good.push(line);
  }
  return { good };
}

function checkLine(line: string): void {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new UnreadableAnswer(`a line of the answer is no JSON: ${line.slice(0, 100)}`, { retryable: true });
  }
  const { error } = Object(value) as { error?: unknown };
  // It comes after the status 200: the client throws it without anything that tells it from a fault of ours.
  if (typeof error === "string") throw Object.assign(new Error(error), { status: 500 });
}
