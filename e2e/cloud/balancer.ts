import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** One address before several servers, as a Service of Kubernetes is: a connection goes to one that takes it, and stays there. */
export interface Balancer extends AsyncDisposable {
  /** `127.0.0.1:<port>`. */
  readonly endpoint: string;
}

export async function startBalancer(ports: readonly number[]): Promise<Balancer> {
  const sockets = new Set<Socket>();
  let turn = 0;
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
  };
  const server = createServer({ pauseOnConnect: true }, (near) => {
    keep(near);
    const first = turn++;
    const join = (tries: number): void => {
      if (tries === ports.length) return void near.destroy();
      const far = connect(ports[(first + tries) % ports.length] ?? 0, "127.0.0.1");
      const refused = (): void => join(tries + 1);
      far.once("error", refused);
      far.once("connect", () => {
        far.off("error", refused);
        keep(far);
        near.once("close", () => far.destroy());
        far.once("close", () => near.destroy());
        near.pipe(far).pipe(near);
      });
    };
    join(0);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
