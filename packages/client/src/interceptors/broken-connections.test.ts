import { createServer, type ServerHttp2Stream } from "node:http2";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { createClient } from "../create-client.ts";
import { ClientError } from "../errors.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A server whose connection is reset, as by a kill with bytes unread, `when` a call is under way. */
async function resetting(when: "before its headers" | "after them"): Promise<ReturnType<typeof createClient>> {
  const sockets: Socket[] = [];
  const server = createServer();
  server.on("connection", (socket: Socket) => sockets.push(socket));
  server.on("session", (session) => session.on("error", () => {}));
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {});
    if (when === "after them") stream.respond({ ":status": 200, "content-type": "application/grpc+proto" });
    setTimeout(() => sockets[0]?.resetAndDestroy(), 50);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = createClient({ endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`, apiKey: "k" });
  closers.push(
    () => client.close(),
    () => server.close(),
  );
  return client;
}

test.each(["before its headers", "after them"] as const)(
  "a call that is reset %s is unavailable, not refused",
  async (when) => {
    const client = await resetting(when);
    const error: unknown = await client.executions.cancel("aex-1").catch((caught: unknown) => caught);
    expect(ClientError.is(error) && error.code).toBe("unavailable");
  },
);

test("a watch outlives a reset", async () => {
  const client = await resetting("after them");
  const tried: string[] = [];
  const stop = new AbortController();
  const watch = client.executions.watch("aex-1", {
    signal: stop.signal,
    onReconnect: ({ code }) => {
      tried.push(code);
      stop.abort();
    },
  });
  await expect(watch.next()).rejects.toMatchObject({ code: "cancelled" });
  expect(tried).toEqual(["unavailable"]);
});
