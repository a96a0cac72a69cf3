import { createServer, connect, type Socket } from "node:net";
import { once } from "node:events";
import type { AddressInfo } from "node:net";

/** A way to Postgres that can be cut. */
export interface Outage {
  /** The same database, by this way. */
  readonly url: string;
  /** Breaks every connection, and refuses new ones. */
  begin(): Promise<void>;
  end(): Promise<void>;
  /** Lets nothing through any more, and breaks nothing. */
  freeze(): void;
  thaw(): void;
  close(): Promise<void>;
}

export async function createOutage(through: string): Promise<Outage> {
  const target = new URL(through);
  const sockets = new Set<Socket>();
  const held: (() => void)[] = [];
  let frozen = false;
  const server = createServer((near) => {
    const far = connect(Number(target.port), target.hostname);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    const pass = (from: Socket, to: Socket): void => {
      from.on("data", (bytes) => (frozen ? held.push(() => to.write(bytes)) : to.write(bytes)));
    };
    pass(near, far);
    pass(far, near);
  });
  const listen = async (port: number): Promise<void> => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const url = new URL(through);
  url.host = `127.0.0.1:${port}`;
  const begin = async (): Promise<void> => {
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    url: url.href,
    begin,
    end: () => listen(port),
    freeze: () => {
      frozen = true;
    },
    thaw: () => {
      frozen = false;
      for (const write of held.splice(0)) write();
    },
    close: async () => {
      if (server.listening) await begin();
    },
  };
}
