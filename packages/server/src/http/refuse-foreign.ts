import type { NodeHandlerFn, NodeRequest } from "./node-handler.ts";

/**
 * Guards a server that answers only to this machine's owner: refuses requests that a web page could have caused.
 * A foreign `Host` means DNS rebinding, unless it is one of `allowedHosts`; a foreign `Origin` a page of another site, unless it is
 * one of `allowedOrigins`.
 */
export function refuseForeign(
  handler: NodeHandlerFn,
  options?: { readonly allowedOrigins?: ReadonlySet<string>; readonly allowedHosts?: ReadonlySet<string> },
): NodeHandlerFn {
  const allowedOrigins = options?.allowedOrigins ?? new Set();
  const allowedHosts = options?.allowedHosts ?? new Set();
  const isHere = (host: string): boolean => {
    const name = hostnameOf(host);
    return name !== undefined && (isLoopback(name) || allowedHosts.has(name));
  };
  const isOurs = (origin: string | undefined): boolean =>
    origin === undefined || allowedOrigins.has(origin) || isLoopback(hostnameOf(/^https?:\/\/(.*)$/.exec(origin)?.[1]));
  return (request, response) => {
    const hosts = hostsOf(request);
    if (hosts.length > 0 && hosts.every(isHere) && isOurs(request.headers.origin)) {
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

/** The name in a host with or without a port, in lower case. */
function hostnameOf(authority: string | undefined): string | undefined {
  // Nothing but a host and a port: a URL that had more in it would name another host than it begins with.
  if (authority === undefined || !/^[a-z0-9.:[\]-]+$/i.test(authority)) return undefined;
  const url = `http://${authority}`;
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}

/** `localhost`, any of 127.0.0.0/8, or `[::1]`, however it was written. */
function isLoopback(hostname: string | undefined): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname ?? "");
}
