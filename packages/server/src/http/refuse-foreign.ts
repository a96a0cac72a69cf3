import type { NodeHandlerFn, NodeRequest } from "./node-handler.ts";

/**
 * Guards a server that answers only to this machine's owner: refuses requests that a web page could have caused.
 * A foreign `Host` means DNS rebinding, a foreign `Origin` a page of another site.
 */
export function refuseForeign(handler: NodeHandlerFn, options?: { allowedHosts?: readonly string[] }): NodeHandlerFn {
  const allowed = new Set(options?.allowedHosts ?? []);
  const isOurs = (name: string | undefined): boolean =>
    name !== undefined && (isLoopbackName(name) || allowed.has(name));
  return (request, response) => {
    const host = hostOf(request);
    const origin = request.headers.origin;
    if (!isOurs(hostname(`http://${host}`)) || (origin !== undefined && !isOurs(hostname(origin)))) {
      response.statusCode = 403;
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify({
          code: "permission_denied",
          message: "This server answers to programs on this machine only: call it as localhost or 127.0.0.1.",
        }),
      );
      return;
    }
    handler(request, response);
  };
}

function hostOf(request: NodeRequest): string {
  const authority = request.headers[":authority"];
  return (typeof authority === "string" ? authority : request.headers.host) ?? "";
}

function hostname(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}

/** `localhost`, any of 127.0.0.0/8, and `[::1]`. */
function isLoopbackName(name: string): boolean {
  return name === "localhost" || name === "[::1]" || name === "::1" || /^127(\.\d{1,3}){3}$/.test(name);
}
