import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { connectRedis, type RedisConnection } from "./connect.ts";

// A real Redis, reached through a way that a test can break.

let redis: URL;
beforeAll(() => {
  const url = process.env["STIGMER_TEST_REDIS_URL"];
  if (!url) throw new Error("STIGMER_TEST_REDIS_URL is not set: run `pnpm test:system`, or name a Redis of your own");
  redis = new URL(url);
});

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** A way to Redis that can be cut and mended. */
class Way {
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  port = 0;

  async open(): Promise<void> {
    this.#server = createServer((near) => {
      const far = connect(Number(redis.port), redis.hostname);
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket
          .on("error", () => {})
          .on("close", () => {
            this.#sockets.delete(socket);
            near.destroy();
            far.destroy();
          });
      }
      near.pipe(far).pipe(near);
    });
    await new Promise<void>((resolve) => this.#server?.listen(this.port, "127.0.0.1", resolve));
    this.port = (this.#server.address() as AddressInfo).port;
  }

  async cut(): Promise<void> {
    const closed = new Promise((resolve) => this.#server?.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  get connections(): number {
    return this.#sockets.size;
  }
}

interface World {
  readonly way: Way;
  readonly connection: RedisConnection;
  readonly warnings: string[];
  readonly infos: string[];
}

async function world(): Promise<World> {
  const way = new Way();
  await way.open();
  closing.push(() => way.cut());
  const warnings: string[] = [];
  const infos: string[] = [];
  const connection = await connectRedis(
    { host: "127.0.0.1", port: way.port, password: redis.password },
    {
      meanwhile: "nothing is lost",
      logger: {
        debug() {},
        info: (_: object, message: string) => infos.push(message),
        warn: (_: object, message: string) => warnings.push(message),
        error() {},
      },
    },
  );
  closing.push(() => connection.close());
  return { way, connection, warnings, infos };
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline;) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("the condition did not come true within 20 s");
}

describe("the connection to Redis", () => {
  it("is lost and comes back by itself, each said once", async () => {
    const { way, connection, warnings, infos } = await world();
    expect(connection.connected).toBe(true);
    await way.cut();
    await until(() => !connection.connected);
    // Long enough for several attempts in vain.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(warnings).toEqual(["Redis is away: nothing is lost"]);
    await way.open();
    await until(() => connection.connected);
    expect(infos).toEqual(["Redis is back"]);
    await way.cut();
    await until(() => warnings.length === 2);
    await way.open();
    await until(() => infos.length === 2);
  });

  it("ends in order, and without a word of warning", async () => {
    const { way, connection, warnings } = await world();
    await connection.close();
    await until(() => way.connections === 0);
    expect(connection.connected).toBe(false);
    expect(warnings).toEqual([]);
  });

  it("ends also while Redis is away", async () => {
    const { way, connection } = await world();
    await way.cut();
    await until(() => !connection.connected);
    await connection.close();
    await way.open();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(way.connections).toBe(0);
  });
});
