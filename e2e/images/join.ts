import { once } from "node:events";
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Server } from "node:net";

export interface Way {
  /** In the engine's network. */
  readonly port: number;
  readonly socket: string;
}

export interface Inside {
  readonly inward: readonly Way[];
  readonly outward: readonly Way[];
}

/** Answers on a port of 127.0.0.1, any free one for 0, with whoever answers at the target. */
export function openPort(port: number, target: NetConnectOpts): Promise<Opened> {
  return open((server) => server.listen(port, "127.0.0.1"), target);
}

/** The same on a socket file. */
export function openSocket(path: string, target: NetConnectOpts): Promise<Opened> {
  return open((server) => server.listen(path), target);
}

interface Opened {
  readonly port: number;
  close(): void;
}

async function open(listen: (server: Server) => void, target: NetConnectOpts): Promise<Opened> {
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ ...target, allowHalfOpen: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroySoon());
    }
  });
  listen(server);
  await once(server, "listening");
  const address = server.address() as AddressInfo | string;
  return { port: typeof address === "string" ? 0 : address.port, close: () => void server.close() };
}
