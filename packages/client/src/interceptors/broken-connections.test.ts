import { createServer, type ServerHttp2Stream } from "node:http2";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { Code, ConnectError } from "@connectrpc/connect";
import { createClient } from "../create-client.ts";
import { ClientError } from "../errors.ts";
import { brokenConnections } from "./broken-connections.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

type Break = (socket: Socket | undefined) => void;
// As by a kill with bytes unread, and by one without.
const reset: Break = (socket) => socket?.resetAndDestroy();
const end: Break = (socket) => socket?.destroy();

/** A server whose connection breaks `when` a call is under way. */
async function breaking(
  when: "before its headers" | "after them" | "never",
  how: Break = reset,
): Promise<ReturnType<typeof createClient>> {
  const sockets: Socket[] = [];
  const server = createServer();
  server.on("connection", (socket: Socket) => sockets.push(socket));
  server.on("session", (session) => session.on("error", () => {}));
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {});
    if (when === "after them") stream.respond({ ":status": 200, "content-type": "application/grpc+proto" });
    if (when !== "never") setTimeout(() => how(sockets[0]), 50);
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

test.each<[string, "before its headers" | "after them", Break]>([
  ["is reset before its headers", "before its headers", reset],
  ["is reset after them", "after them", reset],
  ["loses its server before its headers", "before its headers", end],
  ["loses its server after them", "after them", end],
])("a call that %s is unavailable: neither refused nor cancelled", async (_, when, how) => {
  const client = await breaking(when, how);
  const error: unknown = await client.executions.cancel("aex-1").catch((caught: unknown) => caught);
  expect(ClientError.is(error) && error.code).toBe("unavailable");
});

test("a call that comes to a server as it closes is unavailable: it was not looked at", async () => {
  const cause = Object.assign(new Error("Stream closed with error code NGHTTP2_REFUSED_STREAM"), {
    code: "ERR_HTTP2_STREAM_ERROR",
  });
  const refused = new ConnectError(cause.message, Code.Internal, undefined, undefined, cause);
  const call = brokenConnections(() => false)(() => Promise.reject(refused));
  const request = { signal: new AbortController().signal } as Parameters<typeof call>[0];
  await expect(call(request)).rejects.toMatchObject({ code: Code.Unavailable, rawMessage: cause.message });
});

test("a call that its own client ends is not tried again", async () => {
  const client = await breaking("never");
  const call = client.agents.get("agt-1").catch((caught: unknown) => caught);
  await new Promise((resolve) => setTimeout(resolve, 100));
  client.close();
  const error = await call;
  expect(ClientError.is(error) && error.code).toBe("cancelled");
});

test("a watch outlives a reset", async () => {
  const client = await breaking("after them");
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
