import type { Interceptor, Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { withApiKey } from "./interceptors/api-key.ts";
import { brokenConnections } from "./interceptors/broken-connections.ts";
import { retryReads } from "./interceptors/retry-reads.ts";
import { traceCalls } from "./interceptors/trace-calls.ts";
import { waitForAllowance } from "./interceptors/wait-for-allowance.ts";
import { isOnThisMachine } from "./on-this-machine.ts";
import { withUnaryDeadline } from "./unary-deadline.ts";

export interface TransportOptions {
  /** `host:port`, or a URL. Without a scheme: TLS when the port is 443, else plain text. */
  readonly endpoint: string;
  /** The certificates (PEM) of the authorities that may vouch for the server. Default: those that Node trusts. */
  readonly ca?: string;
  /** Sent as `authorization: Bearer <key>` with every call. */
  readonly apiKey: string;
  /** Milliseconds until a unary call is given up. Streams have no deadline. Default 30,000. */
  readonly timeoutMs?: number;
  readonly interceptors?: readonly Interceptor[];
}

/** One HTTP/2 connection, opened by the first call and again after it broke. */
export interface ClosableTransport {
  readonly transport: Transport;
  /** Ends the connection; calls in flight fail. */
  close(): void;
}

export function openTransport(options: TransportOptions): ClosableTransport {
  const baseUrl = toBaseUrl(options.endpoint);
  const keepAlive = {
    // A dead peer (a suspended laptop, a dropped NAT entry) is noticed within half a minute while a stream is open.
    pingIntervalMs: 20_000,
    pingTimeoutMs: 10_000,
    idleConnectionTimeoutMs: 15 * 60_000,
  };
  const sessionManager = new Http2SessionManager(
    baseUrl,
    keepAlive,
    options.ca === undefined ? {} : { ca: options.ca },
  );
  let closed = false;
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager,
    // Nothing is saved by packing what never leaves the machine, and each answer would wait for it twice.
    ...(isOnThisMachine(baseUrl) && { acceptCompression: [] }),
    interceptors: [
      traceCalls(),
      withApiKey(options.apiKey),
      ...(options.interceptors ?? []),
      waitForAllowance(),
      retryReads(),
      brokenConnections(() => closed),
    ],
  });
  return {
    transport: withUnaryDeadline(transport, options.timeoutMs),
    close: () => {
      closed = true;
      sessionManager.abort();
    },
  };
}

/** `localhost:50051` → `http://localhost:50051`, `api.example.com:443` → `https://api.example.com:443`. */
export function toBaseUrl(endpoint: string): string {
  if (/^https?:\/\//.test(endpoint)) return endpoint;
  return endpoint.endsWith(":443") ? `https://${endpoint}` : `http://${endpoint}`;
}
