import type { Interceptor } from "@connectrpc/connect";

/** Sends `authorization: Bearer <key>` with every call. */
export function withApiKey(apiKey: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${apiKey}`);
    return next(request);
  };
}
