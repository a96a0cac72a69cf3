import type { Listener } from "./listen.ts";

const LOOPBACK = "127.0.0.1";

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

/** What listens on all addresses is called by one that every machine has. */
export function endpointOf({ host, port }: Pick<Listener, "host" | "port">): string {
  const name = host === "0.0.0.0" || host === "::" ? LOOPBACK : host;
  return name.includes(":") ? `[${name}]:${port}` : `${name}:${port}`;
}
