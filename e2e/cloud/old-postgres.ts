import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** A way to a real Postgres on which it calls itself by an older version, of as many digits. */
export interface OldPostgres extends AsyncDisposable {
  /** The URL of the same database, by this way. */
  readonly url: string;
}

export async function startOldPostgres(real: string, major: string): Promise<OldPostgres> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(new URL(real).port), "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket
        .on("error", () => {})
        .on("close", () => {
          sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
    }
    near.pipe(far);
    // `170006`, and `17.6 (Debian 17.6-1)`: an answer of the same length, so the message's own length stays true.
    far.on("data", (data: Buffer) => {
      const text = data.toString("latin1");
      near.write(text.replaceAll(/\b1\d(?=00\d\d|\.\d)/g, major), "latin1");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(real);
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
