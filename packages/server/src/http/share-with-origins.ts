import { cors } from "@connectrpc/connect";
import type { NodeHandlerFn } from "./node-handler.ts";

// For how long browsers need not ask again; none remembers it for longer than that.
const PREFLIGHT_SECONDS = 7_200;

/**
 * Lets the pages of some origins call and read the answers (CORS). It opens nothing else: a call still needs its key, which a
 * page sends as any client does, and no cookie or other credential of the browser counts.
 */
export function shareWithOrigins(handler: NodeHandlerFn, origins: ReadonlySet<string>): NodeHandlerFn {
  if (origins.size === 0) return handler;
  return (request, response) => {
    const { origin } = request.headers;
    // Also where the answer is the same for all: a cache must not give it to another origin.
    response.setHeader("vary", "Origin");
    if (origin === undefined || !origins.has(origin)) return handler(request, response);
    response.setHeader("access-control-allow-origin", origin);
    if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) {
      response.setHeader("access-control-expose-headers", cors.exposedHeaders.join(", "));
      return handler(request, response);
    }
    response.statusCode = 204;
    response.setHeader("access-control-allow-methods", cors.allowedMethods.join(", "));
    response.setHeader("access-control-allow-headers", [...cors.allowedHeaders, "Authorization"].join(", "));
    response.setHeader("access-control-max-age", PREFLIGHT_SECONDS);
    // A page of a public site asks this before it may call a loopback address.
    if (request.headers["access-control-request-private-network"] === "true") {
      response.setHeader("access-control-allow-private-network", "true");
    }
    response.end();
  };
}
