import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type Http2Stream,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Stream,
} from "node:http2";
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from "node:net";
import { joinFrames, splitFrames } from "./grpc-frames.ts";

/** A gRPC call that passes through. */
export interface PassingCall {
  /** `ai.stigmer.agentic.runner.v1.RunnerController`. */
  readonly service: string;
  /** As in the .proto file. */
  readonly method: string;
  /** The one message of the request. Reading it throws when it is compressed. */
  readonly request: Uint8Array;
}

/** What happens to a call where it was stopped. A call that is dropped never gets an answer: one of the two ends is gone. */
export type Verdict = "pass" | "drop";

/** Stops calls and looks at them. */
export interface Gatekeeper {
  /** Before the server gets the call. */
  onRequest(call: PassingCall): Promise<Verdict>;
  /**
   * When the server has done its part, before the caller hears of it: once for a unary call, for each message of a
   * stream. Not called where the server answered with an error.
   */
  onAnswer(call: PassingCall, message: Uint8Array): Promise<Verdict>;
  /** Whether answers to the method are looked at. A stream that is not passes through as it comes. */
  reads(method: string): boolean;
  /** Set for a method whose stream, open on both sides, carries calls: each of them is stopped by itself then. */
  carries?(method: string): CarriedCalls | undefined;
}

/** How calls are found in the messages of a stream. */
export interface CarriedCalls {
  callOf(message: Uint8Array): { readonly number: number; readonly call: PassingCall };
  /** `answer` is absent where the call was answered with an error. */
  answerOf(message: Uint8Array): { readonly number: number; readonly answer?: Uint8Array };
}

export interface ForwardingProxy {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Stands between a gRPC client and its server on this machine. It knows no service: HTTP/2 streams pass through with their
 * headers, deadlines, errors and trailers. Each connection has its own one to the server, and when either breaks the other
 * is reset: both sides notice the death of the other as they would without a proxy.
 */
export async function startForwardingProxy(options: {
  readonly upstreamPort: number;
  readonly gatekeeper: Gatekeeper;
}): Promise<ForwardingProxy> {
  const { upstreamPort, gatekeeper } = options;
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (downstream) => {
    const upstream = connectTcp({ port: upstreamPort, host: "127.0.0.1", noDelay: true });
    const pair = [downstream, upstream];
    for (const socket of pair) {
      sockets.add(socket);
      // What broke is told by the end of the other connection.
      socket.on("error", () => {});
      socket.once("close", () => {
        sockets.delete(socket);
        for (const other of pair) other.resetAndDestroy();
      });
    }
    // A server that does not listen refuses connections: nobody gets to speak to it.
    upstream.once("connect", () => {
      if (!downstream.destroyed) join({ downstream, upstream, gatekeeper });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

interface Connections {
  readonly downstream: Socket;
  readonly upstream: Socket;
  readonly gatekeeper: Gatekeeper;
}

function join({ downstream, upstream, gatekeeper }: Connections): void {
  const client = connect("http://127.0.0.1", { createConnection: () => upstream });
  const server = performServerHandshake(downstream);
  for (const session of [client, server]) session.on("error", () => {});
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    forward({ stream, headers, upstream: client, gatekeeper }).catch(() =>
      stream.close(constants.NGHTTP2_INTERNAL_ERROR),
    );
  });
  // Also for an end in order, such as of a client that has nothing more to say.
  server.once("close", () => upstream.destroy());
  client.once("close", () => downstream.destroy());
}

interface Forward {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly upstream: ClientHttp2Session;
  readonly gatekeeper: Gatekeeper;
}

async function forward({ stream, headers, upstream, gatekeeper }: Forward): Promise<void> {
  const [, service = "", method = ""] = (headers[":path"] ?? "").split("/");
  const carried = gatekeeper.carries?.(method);
  if (carried) return forwardCarried({ stream, headers, upstream, gatekeeper }, carried);
  const body = await readAll(stream);
  const call: PassingCall = {
    service,
    method,
    // Only where it is looked at: Temporal's native client compresses what it sends.
    get request() {
      return splitFrames(body).messages[0] ?? new Uint8Array();
    },
  };
  if ((await gatekeeper.onRequest(call)) === "drop") return;
  // One of the two is gone, and its end resets the other.
  if (stream.destroyed || upstream.destroyed) return;
  const request = requestOf({ stream, headers, upstream }, { endStream: body.length === 0 });
  if (body.length > 0) request.end(body);
  const onMessage = gatekeeper.reads(method)
    ? (message: Uint8Array): Promise<Verdict> => gatekeeper.onAnswer(call, message)
    : undefined;
  await answer({ stream, request, upstream, onMessage });
}

/** Calls of one stream are stopped each by itself, as if each had a stream of its own. */
async function forwardCarried(
  { stream, headers, upstream, gatekeeper }: Forward,
  carried: CarriedCalls,
): Promise<void> {
  const request = requestOf({ stream, headers, upstream }, { endStream: false });
  const calls = new Map<number, PassingCall>();
  const pass = async (message: Uint8Array): Promise<void> => {
    const { number, call } = carried.callOf(message);
    calls.set(number, call);
    if ((await gatekeeper.onRequest(call)) === "pass") await write(request, joinFrames(message));
  };
  const requests = async (): Promise<void> => {
    const passing: Promise<void>[] = [];
    let rest: Uint8Array = new Uint8Array();
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const split = splitFrames(Buffer.concat([rest, chunk]));
      rest = split.rest;
      passing.push(...split.messages.map(pass));
    }
    await Promise.all(passing);
    request.end();
  };
  const onMessage = async (message: Uint8Array): Promise<Verdict> => {
    const { number, answer } = carried.answerOf(message);
    const call = calls.get(number);
    calls.delete(number);
    return call && answer ? gatekeeper.onAnswer(call, answer) : "pass";
  };
  await Promise.all([
    requests().catch(() => request.close(constants.NGHTTP2_CANCEL)),
    answer({ stream, request, upstream, onMessage }),
  ]);
}

function requestOf(
  { stream, headers, upstream }: Pick<Forward, "stream" | "headers" | "upstream">,
  options: { readonly endStream: boolean },
): ClientHttp2Stream {
  // Without this header answers come as they are, so that they can be looked at.
  const { "grpc-accept-encoding": _, ...passed } = headers;
  const request = upstream.request(passed, options);
  request.on("error", () => {});
  stream.once("close", () => request.close(constants.NGHTTP2_CANCEL));
  return request;
}

interface Answer {
  readonly stream: ServerHttp2Stream;
  readonly upstream: ClientHttp2Session;
  readonly request: ClientHttp2Stream;
  readonly onMessage?: (message: Uint8Array) => Promise<Verdict>;
}

/** Passes the answer back. Messages that are looked at are held one by one, in order. */
async function answer({ stream, request, upstream, onMessage }: Answer): Promise<void> {
  let trailers: IncomingHttpHeaders = {};
  request.on("trailers", (received) => (trailers = received));
  const response = await responseOf(request);
  // Where a connection is gone, its end tells.
  if (stream.destroyed || upstream.destroyed) return;
  if (response === undefined) return stream.close(request.rstCode);
  if (response.isAll) return stream.respond(response.headers, { endStream: true });
  stream.respond(response.headers, { waitForTrailers: true });
  stream.once("wantTrailers", () => stream.sendTrailers(trailers));
  let rest: Uint8Array = new Uint8Array();
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      if (onMessage === undefined) {
        await write(stream, chunk);
        continue;
      }
      const { messages, rest: left } = splitFrames(Buffer.concat([rest, chunk]));
      rest = left;
      for (const message of messages) {
        if ((await onMessage(message)) === "drop") return;
        await write(stream, joinFrames(message));
      }
    }
  } catch {
    // Told by `rstCode`, or by the end of the connection.
  }
  if (stream.destroyed || upstream.destroyed) return;
  if (request.rstCode === constants.NGHTTP2_NO_ERROR) stream.end();
  else stream.close(request.rstCode);
}

interface Response {
  readonly headers: IncomingHttpHeaders;
  /** Nothing follows: an error that is told by headers alone. */
  readonly isAll: boolean;
}

function responseOf(request: ClientHttp2Stream): Promise<Response | undefined> {
  return new Promise((resolve) => {
    request.once("response", (headers, flags) =>
      resolve({ headers, isAll: (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0 }),
    );
    request.once("close", () => resolve(undefined));
  });
}

async function readAll(stream: ServerHttp2Stream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function write(stream: Http2Stream, chunk: Uint8Array): Promise<void> {
  if (stream.destroyed || stream.write(chunk)) return;
  await Promise.race([once(stream, "drain"), once(stream, "close")]);
}
