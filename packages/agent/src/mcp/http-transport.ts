// A server that runs already. The SDK's transport, and what it leaves open: an answer whose stream ends before the answer
// came is waited for until the time is up. Here the connection is given up then, so that the next call makes a new one.
import { StreamableHTTPClientTransport, StreamableHTTPError } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { FetchLike } from "@modelcontextprotocol/sdk/shared/transport.js";
import type { JSONRPCMessage } from "@modelcontextprotocol/sdk/types.js";
import type { McpHttpServerConfig } from "./mcp-config.ts";

/** For the SDK to take up a stream again that a server let go of. */
const resumeMs = 5_000;
const goodbyeMs = 1_000;

export interface HttpLink {
  readonly transport: StreamableHTTPClientTransport;
  /** Whether the server no longer knows the session in which this call was made: then it did not begin it. */
  isForgotten(error: unknown): boolean;
  /** Ends the session on the server too. */
  close(): Promise<void>;
}

export interface HttpLinkOptions {
  readonly config: McpHttpServerConfig;
  /** The connection is of no use any more. */
  onLost(reason: string): void;
}

/** Throws a `TypeError` for an address that is none. */
export function createHttpLink({ config, onLost }: HttpLinkOptions): HttpLink {
  const url = new URL(config.url);
  for (const [name, value] of Object.entries(config.query ?? {})) url.searchParams.append(name, value);
  const unanswered = new Set<unknown>();
  /** Of the unanswered those whose stream has ended. */
  const stranded = new Set<unknown>();
  let resumed = 0;
  const isStranded = (): boolean => [...stranded].some((id) => unanswered.has(id));

  const streamEnded = (asked: readonly unknown[]): void => {
    for (const id of asked) if (unanswered.has(id)) stranded.add(id);
    if (!isStranded()) return;
    const before = resumed;
    const timer = setTimeout(() => {
      if (isStranded() && resumed === before) onLost("the stream ended before the answer came");
    }, resumeMs);
    timer.unref();
  };

  const watchedFetch: FetchLike = async (target, init) => {
    const response = await fetch(target, init);
    if (init?.method === "GET" && new Headers(init.headers).has("last-event-id") && response.ok) resumed += 1;
    if (init?.method !== "POST" || response.body === null || !isEventStream(response)) return response;
    const asked = idsIn(init.body);
    const body = ReadableStream.from(watch(response.body, () => streamEnded(asked)));
    return new Response(body, { status: response.status, headers: response.headers });
  };

  const transport = new StreamableHTTPClientTransport(url, {
    requestInit: { headers: { ...config.headers } },
    fetch: watchedFetch,
  });
  // The client listens beside these.
  Object.assign(transport, {
    onmessage(message: JSONRPCMessage) {
      if (!("id" in message) || "method" in message) return;
      unanswered.delete(message.id);
      stranded.delete(message.id);
    },
    onerror({ message }: Error) {
      if (isStranded() && /^(Maximum reconnection attempts|Failed to reconnect)/.test(message)) onLost(message);
    },
  });
  const send = transport.send.bind(transport);
  transport.send = async (message, options) => {
    for (const id of idsOf(message)) unanswered.add(id);
    await send(message, options);
  };

  return {
    transport,
    isForgotten: (error) =>
      error instanceof StreamableHTTPError &&
      transport.sessionId !== undefined &&
      (error.code === 404 || error.code === 400),
    async close() {
      if (transport.sessionId !== undefined) {
        const goodbye = transport.terminateSession().catch(() => {});
        await Promise.race([goodbye, new Promise((resolve) => setTimeout(resolve, goodbyeMs).unref())]);
      }
      await transport.close();
    },
  };
}

/** What went wrong, and which part of the description it speaks of. */
export function explainHttp(error: unknown): { readonly part: string; readonly why: string } {
  const { message } = error as Error;
  if (error instanceof StreamableHTTPError) {
    const { code = 0 } = error;
    const said = message.replace(/^Streamable HTTP error: (Error POSTing to endpoint: )?/, "").slice(0, 300);
    if (code === 401 || code === 403) {
      return { part: "headers", why: `it refuses the credentials (HTTP ${code})${said === "" ? "" : `: ${said}`}` };
    }
    if (code === 404) return { part: "url", why: "there is no MCP server at this address (HTTP 404)" };
    if (code >= 300 && code < 400) return { part: "url", why: `it answers with a redirect (HTTP ${code}): ${said}` };
    if (code < 0) return { part: "url", why: `it does not answer as an MCP server: ${said}` };
    return { part: "url", why: `it answers with HTTP ${code}${said === "" ? "" : `: ${said}`}` };
  }
  const cause = (error as Error).cause;
  const detail = cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : "";
  return { part: "url", why: detail === "" ? message : `${message}: ${detail}` };
}

/** Whether the way to the server is broken, not the call. */
export function isBroken(error: unknown): boolean {
  return error instanceof TypeError && error.message === "fetch failed";
}

async function* watch(body: ReadableStream<Uint8Array>, onEnd: () => void): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } finally {
    // What has arrived is taken first.
    setImmediate(onEnd);
  }
}

const isEventStream = (response: Response): boolean =>
  response.headers.get("content-type")?.startsWith("text/event-stream") === true;

function idsIn(body: unknown): unknown[] {
  return typeof body === "string" ? idsOf(JSON.parse(body) as JSONRPCMessage | JSONRPCMessage[]) : [];
}

function idsOf(message: JSONRPCMessage | JSONRPCMessage[]): unknown[] {
  return [message].flat().flatMap((each) => ("id" in each && "method" in each ? [each.id] : []));
}
