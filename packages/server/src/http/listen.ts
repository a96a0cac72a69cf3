import { createServer as createHttp1Server, type Server as Http1Server } from "node:http";
import { createServer as createHttpsServer, type Server as HttpsServer } from "node:https";
import { createServer as createHttp2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { TlsOptions, TLSSocket } from "node:tls";
import type { Certificate } from "./certificate.ts";
import type { NodeHandlerFn } from "./node-handler.ts";
import { ServerError } from "../errors.ts";

/**
 * A listening port that speaks HTTP/1.1 (Connect, gRPC-Web) and HTTP/2 (gRPC): without TLS whichever the client opens with, over
 * TLS what the two agree upon (ALPN).
 */
export interface Listener {
  readonly host: string;
  readonly port: number;
  /** Shows another certificate from the next connection on. */
  renew(certificate: Certificate): void;
  /** Stops accepting, lets requests in flight end for `graceMs`, then cuts what is left. Safe to call twice. */
  close(options?: { graceMs?: number }): Promise<void>;
}

export interface ListenOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly handler: NodeHandlerFn;
  /** TLS 1.2 or newer. Default: none, every connection is plain text. */
  readonly certificate?: Certificate;
  /** For how long a client may take over its part. Long answers are no part of it: a stream may be silent for days. */
  readonly patience?: Partial<Patience>;
}

/** In milliseconds. */
export interface Patience {
  /** Until a connection's first bytes, until it is encrypted, and until all headers of an HTTP/1.1 request. Default 30 s. */
  readonly headersMs: number;
  /** Until the whole of an HTTP/1.1 request, also of a large upload over a slow tunnel. Default 10 minutes. */
  readonly requestMs: number;
  /** How often HTTP/1.1 connections are looked at. Default 5 s. */
  readonly checkMs: number;
}

// RFC 9113 §3.4: every HTTP/2 connection begins with `PRI * HTTP/2.0`. No HTTP/1.1 method begins with these three bytes.
const PREFACE_START = "PRI";

/** Throws `ServerError` `port-in-use` or `cannot-listen`. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { headersMs = 30_000, requestMs = 600_000, checkMs = 5_000 } = options.patience ?? {};
  // The HTTP/1.1 server is the one that listens: Node times the requests of no other.
  const timing = { headersTimeout: headersMs, requestTimeout: requestMs, connectionsCheckingInterval: checkMs };
  const { certificate } = options;
  const secure =
    certificate && createHttpsServer({ ...timing, ...secureOptions(certificate, headersMs) }, options.handler);
  const http1: Http1Server | HttpsServer = secure ?? createHttp1Server(timing, options.handler);
  const opened = secure ? "secureConnection" : "connection";
  const serveHttp1 = http1.listeners(opened) as ((this: typeof http1, socket: Socket) => void)[];
  http1.removeAllListeners(opened);
  const http2 = createHttp2Server(options.handler);
  const sockets = new Map<Socket, Protocol | "unknown">();
  // Which HTTP/1.1 connections have a request under way.
  const busy = new Map<Socket, number>();
  let stopping = false;
  http1.prependListener("request", ({ socket }, response) => {
    busy.set(socket, (busy.get(socket) ?? 0) + 1);
    response.once("close", () => {
      const left = (busy.get(socket) ?? 1) - 1;
      if (left > 0) busy.set(socket, left);
      else busy.delete(socket);
      if (stopping && left === 0) socket.end();
    });
  });
  const sessions = new Set<ServerHttp2Session>();
  http2.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });

  const speak = (socket: Socket, protocol: Protocol): void => {
    sockets.set(socket, protocol);
    if (protocol === "http2") {
      // The session takes the socket over and reads by itself.
      socket.allowHalfOpen = false;
      http2.emit("connection", socket);
    } else {
      for (const serve of serveHttp1) serve.call(http1, socket);
      // The parser waits for the stream to flow.
      socket.resume();
    }
  };
  const onSocket = (socket: Socket): void => {
    sockets.set(socket, "unknown");
    socket.once("close", () => sockets.delete(socket));
  };
  // Over TLS these are the connections below, which are all there is of one until it is encrypted.
  http1.on("connection", onSocket);
  if (secure) {
    secure.on("secureConnection", (socket: TLSSocket) => {
      onSocket(socket);
      speak(socket, socket.alpnProtocol === "h2" ? "http2" : "http1");
    });
  } else {
    http1.on("connection", (socket: Socket) => onProtocol(socket, headersMs, (protocol) => speak(socket, protocol)));
  }

  await new Promise<void>((resolve, reject) => {
    // Stays when the server listens: then it means that a connection could not be accepted, which is that client's trouble.
    http1.on("error", (error: NodeJS.ErrnoException) => reject(listenError(error, options)));
    http1.listen({ host: options.host, port: options.port }, resolve);
  });
  const { port } = http1.address() as AddressInfo;

  let closing: Promise<void> | undefined;
  return {
    host: options.host,
    port,
    renew: (next) => secure?.setSecureContext(secureOptions(next, headersMs)),
    close({ graceMs = 2_000 } = {}) {
      closing ??= (async () => {
        const stopped = new Promise<void>((resolve) => http1.close(() => resolve()));
        stopping = true;
        for (const session of sessions) session.close();
        for (const [socket, protocol] of sockets) {
          const isIdle = protocol === "http1" || (protocol === "unknown" && !secure);
          if (isIdle && !busy.has(socket)) socket.destroy();
        }
        const cut = setTimeout(() => {
          for (const socket of sockets.keys()) socket.destroy();
        }, graceMs);
        await stopped;
        clearTimeout(cut);
      })();
      return closing;
    },
  };
}

type Protocol = "http1" | "http2";

function secureOptions({ cert, key }: Certificate, handshakeTimeout: number): TlsOptions {
  return { cert, key, minVersion: "TLSv1.2", ALPNProtocols: ["h2", "http/1.1"], handshakeTimeout };
}

/** Looks at a connection's first bytes, puts them back, and tells which protocol the client speaks. The socket is paused then. */
function onProtocol(socket: Socket, timeoutMs: number, tell: (protocol: Protocol) => void): void {
  let seen = Buffer.alloc(0);
  const fail = (): void => void socket.destroy();
  socket.setTimeout(timeoutMs, fail);
  socket.on("error", fail);
  socket.on("end", fail);
  const onData = (chunk: Buffer): void => {
    seen = Buffer.concat([seen, chunk]);
    const start = seen.toString("latin1", 0, PREFACE_START.length);
    if (start.length < PREFACE_START.length && PREFACE_START.startsWith(start)) return;
    socket.off("data", onData);
    socket.pause();
    socket.setTimeout(0);
    socket.off("timeout", fail);
    socket.off("error", fail);
    socket.off("end", fail);
    socket.unshift(seen);
    tell(start === PREFACE_START ? "http2" : "http1");
  };
  socket.on("data", onData);
}

function listenError(error: NodeJS.ErrnoException, { host, port }: ListenOptions): ServerError {
  if (error.code === "EADDRINUSE") {
    return new ServerError(
      "port-in-use",
      `Port ${port} on ${host} is in use by another program: stop it, or choose another port (--port, 0 takes any free one).`,
      { cause: error },
    );
  }
  return new ServerError("cannot-listen", `Cannot listen on ${host}:${port}: ${error.message}.`, { cause: error });
}
