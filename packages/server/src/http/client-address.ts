import { type ContextKey, createContextKey, type ContextValues } from "@connectrpc/connect";
import type { NodeRequest } from "./node-handler.ts";

const addressKey: ContextKey<string> = createContextKey("", { description: "where the call came from" });

/** Keeps for a call's handlers where it came from, as this server sees it: behind a proxy, the proxy. */
export function noteClientAddress(values: ContextValues, { socket }: NodeRequest): ContextValues {
  // An address of IPv4 in the clothes of IPv6 is the same address.
  return values.set(addressKey, (socket.remoteAddress ?? "").replace(/^::ffff:(?=[\d.]+$)/, ""));
}

/** "" when it is not known. */
export function clientAddressOf(values: ContextValues): string {
  return values.get(addressKey);
}
