import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Endpoint } from "@stigmer/config";

/** Why a runner takes no work, in one word; undefined when it does. */
export type NotReady = "starting" | "disconnected" | "draining";

export interface HealthServer {
  /** `http://127.0.0.1:8080`; an IPv6 address stands in brackets. */
  readonly url: string;
  close(): Promise<void>;
}

export interface Condition {
  readonly notReady: () => NotReady | undefined;
  /** What it works without right now; undefined when it lacks nothing. */
  readonly degraded: () => string | undefined;
}

/**
 * Serves `/healthz` (200 while the process lives) and `/readyz` (200 while the runner takes work, with what it lacks; else 503 and the word why).
 * Throws with the reason when the port can't be had.
 */
export async function startHealthServer(
  { host, port }: Endpoint,
  { notReady, degraded }: Condition,
): Promise<HealthServer> {
  const server = createServer((request, response) => {
    const path = request.url?.split("?", 1)[0];
    const answer = (status: number, text: string): void => {
      response.writeHead(status, { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" });
      response.end(request.method === "HEAD" ? undefined : `${text}\n`);
    };
    if (path !== "/healthz" && path !== "/readyz") return answer(404, "not found");
    if (request.method !== "GET" && request.method !== "HEAD") return answer(405, "method not allowed");
    const reason = path === "/readyz" ? notReady() : undefined;
    if (reason) return answer(503, reason);
    const lacks = path === "/readyz" ? degraded() : undefined;
    return answer(200, lacks ? `ok, degraded: ${lacks}` : "ok");
  });
  // A probe asks and goes: what stays open would hold the port over the runner's end.
  server.keepAliveTimeout = 1;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, resolve);
  });
  const address = server.address() as AddressInfo;
  return {
    url: `http://${address.family === "IPv6" ? `[${address.address}]` : address.address}:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
