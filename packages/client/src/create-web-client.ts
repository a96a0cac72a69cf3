import type { Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { withApiKey } from "./interceptors/api-key.ts";
import { brokenFetches } from "./interceptors/broken-fetches.ts";
import { retryReads } from "./interceptors/retry-reads.ts";
import { waitForAllowance } from "./interceptors/wait-for-allowance.ts";
import { createResourceClients, defaultsOf, type OrgOptions, type ResourceClients } from "./resource-clients.ts";
import { withUnaryDeadline } from "./unary-deadline.ts";

export interface WebClientOptions extends OrgOptions {
  /** Where the server answers, such as `https://api.example.com`, or the page's own origin. */
  readonly baseUrl: string;
  /**
   * Sent as `authorization: Bearer <key>` with every call. A page shows its key to whoever opens it: give it one of that
   * person's own. Left out where a proxy adds it.
   */
  readonly apiKey?: string;
  /** Default: the browser's own. */
  readonly fetch?: typeof globalThis.fetch;
  /** How calls are written. Default `connect`; `grpc-web` for proxies that speak nothing else. */
  readonly protocol?: "connect" | "grpc-web";
  /** Milliseconds until a unary call is given up. Streams have no deadline. Default 30,000. */
  readonly timeoutMs?: number;
  readonly interceptors?: readonly Interceptor[];
}

/** The same clients as `createClient` gives, over `fetch`: for pages, workers and edge runtimes. */
export function createWebClient(options: WebClientOptions): ResourceClients {
  const { baseUrl, apiKey, fetch, protocol = "connect", timeoutMs } = options;
  const create = protocol === "connect" ? createConnectTransport : createGrpcWebTransport;
  const transport = create({
    baseUrl,
    fetch,
    // Smaller than JSON, and what a newer server adds does no harm.
    useBinaryFormat: true,
    interceptors: [
      ...(apiKey === undefined ? [] : [withApiKey(apiKey)]),
      ...(options.interceptors ?? []),
      waitForAllowance(),
      retryReads(),
      brokenFetches(),
    ],
  });
  return createResourceClients(withUnaryDeadline(transport, timeoutMs), defaultsOf(options, baseUrl));
}
