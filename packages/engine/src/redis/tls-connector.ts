import type { RedisOptions } from "ioredis";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";

/**
 * How ioredis gets an encrypted connection. Its own connector hears of one error per connection; but when a certificate is refused and
 * the other side's alert is read together with it, Node reports two (`_emitTLSError` after `destroy`), and an error that nobody listens
 * to ends the process.
 */
export async function createTlsConnector(): Promise<NonNullable<RedisOptions["Connector"]>> {
  // Only who has a Redis with TLS loads it.
  const { AbstractConnector } = await import("ioredis");
  return class TlsConnector extends AbstractConnector {
    readonly #options: ConnectionOptions;

    constructor(options: unknown) {
      const { host, port, disconnectTimeout = 0, tls } = options as RedisOptions;
      super(disconnectTimeout);
      this.#options = { host, port, ...tls };
    }

    async connect(): Promise<TLSSocket> {
      this.connecting = true;
      const socket = connect(this.#options);
      socket.on("error", (error) => (this.firstError ??= error));
      this.stream = socket;
      return socket;
    }
  };
}
