import type { NodeHandlerFn, NodeRequest } from "./node-handler.ts";

/**
 * Guards a server that answers only to this machine's owner: refuses requests that a web page could have caused.
 * A foreign `Host` means DNS rebinding, a foreign `Origin` a page of another site, unless it is one of `allowedOrigins`.
 */
export function refuseForeign(
  handler: NodeHandlerFn,
  options?: { readonly allowedOrigins?: ReadonlySet<string> },
): NodeHandlerFn {
  const allowedOrigins = options?.allowedOrigins ?? new Set();
  const isOurs = (origin: string | undefined): boolean =>
    origin === undefined || allowedOrigins.has(origin) || isLoopback(/^https?:\/\/(.*)$/.exec(origin)?.[1]);
  return (request, response) => {
    const hosts = hostsOf(request);
    if (hosts.length > 0 && hosts.every(isLoopback) && isOurs(request.headers.origin)) {
      handler(request, response);
      return;
    }
    response.statusCode = 403;
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({
        code: "permission_denied",
        message: "This server answers to programs on this machine only: call it as localhost or 127.0.0.1.",
      }),
    );
  };
}

/** Whom the client means to talk to. HTTP/2 has two places for it, and a client may fill both. */
function hostsOf(request: NodeRequest): string[] {
  const { ":authority": authority, host } = request.headers;
  return [authority, host].filter((name) => typeof name === "string");
}

/** A host, with or without a port, that is `localhost`, any of 127.0.0.0/8, or `[::1]`, however it is written. */
function isLoopback(authority: string | undefined): boolean {
  // Nothing but a host and a port: a URL that had more in it would name another host than it begins with.
  if (authority === undefined || !/^[a-z0-9.:[\]-]+$/i.test(authority)) return false;
  const url = `http://${authority}`;
  if (!URL.canParse(url)) return false;
  const { hostname } = new URL(url);
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
