import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { ScriptedModelError } from "./errors.ts";
import type { Frame } from "./protocols/protocol.ts";

const bodyLimit = 32 * 1024 * 1024;

/**
 * Reads a JSON body of at most 32 MB, the limit of the providers themselves. No body is undefined.
 * @throws {ScriptedModelError} `body-too-large` or `bad-request`.
 */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    // The rest is read and dropped: a client that is still writing would not see an answer.
    if (size <= bodyLimit) chunks.push(chunk);
  }
  if (size > bodyLimit)
    throw new ScriptedModelError("body-too-large", `Request exceeds the maximum of ${bodyLimit} bytes`);
  if (size === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (cause) {
    throw new ScriptedModelError("bad-request", `The request body is not JSON: ${(cause as Error).message}`, { cause });
  }
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { "content-type": "application/json", "content-length": bytes.length }).end(bytes);
}

/** What stands between client and model (a proxy, a login page, the wrong server) answers in a form of its own. */
export function sendPage(
  response: ServerResponse,
  { status, contentType, message }: { readonly status: number; readonly contentType: string; readonly message: string },
): void {
  const text = contentType === "text/html" ? `<!doctype html><html><body><h1>${message}</h1></body></html>\n` : message;
  response.writeHead(status, { "content-type": contentType }).end(text);
}

export interface PaceOptions {
  readonly chunkDelayMs: number;
  /** Pieces to send before stopping short; undefined sends everything. */
  readonly stopAfter: number | undefined;
  /** Aborted when the connection is gone; ends the waiting at once. */
  readonly signal: AbortSignal;
}

/** Writes frames at their pace, no faster than the client reads: all of them, or `stopAfter` pieces and no ending. */
export async function writeFrames(
  response: ServerResponse,
  frames: Iterable<Frame>,
  { chunkDelayMs, stopAfter, signal }: PaceOptions,
): Promise<void> {
  let pieces = 0;
  for (const frame of frames) {
    if (stopAfter !== undefined && (frame.kind === "end" || (frame.kind === "piece" && pieces >= stopAfter))) return;
    if (frame.kind === "piece") {
      pieces += 1;
      if (chunkDelayMs > 0) await sleep(chunkDelayMs, undefined, { signal });
    }
    if (!response.write(frame.bytes)) await once(response, "drain", { signal });
  }
}
