import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { connect } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { Code, ConnectError } from "@connectrpc/connect";
import { AgentQueryController } from "@stigmer/protos/agent/v1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { silentLogger } from "../logger.ts";
import { connectHandler } from "./connect-handler.ts";
import { listen, type Listener } from "./listen.ts";

const HUGE_BYTES = 110 * 1024 * 1024;
const PATH = `/${AgentQueryController.typeName}/list`;

let listener: Listener;
let sockets: Set<Socket>;
let asked: number;
beforeEach(async () => {
  sockets = new Set();
  asked = 0;
  const handler = connectHandler({
    routes: (router) => router.service(AgentQueryController, { list: () => ({}) }),
    requestGate: async ({ requestHeader }) => {
      asked += 1;
      if (requestHeader.get("authorization") !== "Bearer right") {
        throw new ConnectError("not that key", Code.Unauthenticated);
      }
    },
    interceptors: [],
    readMaxBytes: HUGE_BYTES,
    logger: silentLogger,
  });
  listener = await listen({
    host: "127.0.0.1",
    port: 0,
    handler: (request, response) => {
      sockets.add("stream" in request ? (request.stream.session?.socket as Socket) : request.socket);
      handler(request, response);
    },
  });
});
afterEach(() => listener.close({ graceMs: 0 }));

const baseUrl = (): string => `http://127.0.0.1:${listener.port}`;

/** What the server has taken from the network over HTTP/1.1, once that is all. */
async function bytesRead(): Promise<number> {
  const [socket] = sockets;
  if (!socket) throw new Error("Nobody has called.");
  if (!socket.destroyed) await once(socket, "close");
  return socket.bytesRead;
}

/** Sends for as long as somebody takes it. */
function pour(into: NodeJS.WritableStream): void {
  const chunk = Buffer.alloc(64 * 1024, 1);
  let left = HUGE_BYTES;
  const on = (): void => {
    while (left > 0) {
      left -= chunk.length;
      if (!into.write(chunk)) return void into.once("drain", on);
    }
  };
  on();
}

function post(headers: Record<string, string>): ClientRequest {
  const request = httpRequest(baseUrl() + PATH, { method: "POST", headers });
  // Its writes fail once the server has closed.
  request.on("error", () => {});
  return request;
}

describe("a call with a wrong key and a huge body", () => {
  it.each([
    ["Connect with JSON", { "content-type": "application/json", "content-length": String(HUGE_BYTES) }],
    ["Connect in chunks", { "content-type": "application/proto", "transfer-encoding": "chunked" }],
  ])("is refused over HTTP/1.1 before the body is read: %s", async (_what, headers) => {
    const request = post({ ...headers, authorization: "Bearer wrong" });
    pour(request);
    const [response] = (await once(request, "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(401);
    expect(response.headers).toMatchObject({ "content-type": "application/json", connection: "close" });
    expect(JSON.parse(await text(response))).toEqual({ code: "unauthenticated", message: "not that key" });
    expect(await bytesRead()).toBeLessThan(1024 * 1024);
    expect(asked).toBe(1);
  });

  it("is refused over HTTP/1.1 as gRPC-Web has it", async () => {
    const request = post({ "content-type": "application/grpc-web+proto", "content-length": String(HUGE_BYTES) });
    pour(request);
    const [response] = (await once(request, "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(200);
    expect(await text(response)).toContain("grpc-status: 16");
    expect(await bytesRead()).toBeLessThan(1024 * 1024);
  });

  it("is told so also when the client looks for an answer only after a while", async () => {
    const socket = connectTcp(listener.port, "127.0.0.1");
    socket.pause();
    socket.write(`POST ${PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`);
    socket.write(`Content-Length: ${HUGE_BYTES}\r\n\r\n${"x".repeat(300_000)}`);
    await expect.poll(() => asked).toBe(1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 401 .*"code":"unauthenticated"/s);
    expect(await bytesRead()).toBeLessThan(1024 * 1024);
  });

  it.each([
    ["application/grpc", /^200 16 $/],
    ["application/grpc-web+proto", /^200 undefined .*grpc-status: 16/],
    ["application/json", /^401 undefined .*"code":"unauthenticated"/],
  ])("is refused over HTTP/2 before the body is read, and the connection goes on: %s", async (type, refusal) => {
    const session = connect(baseUrl());
    const headers = { ":method": "POST", ":path": PATH, "content-type": type };
    const stream = session.request(headers);
    const trailers: Record<string, unknown> = {};
    stream.on("trailers", (fields) => Object.assign(trailers, fields));
    pour(stream);
    const closed = once(stream, "close");
    const [[answer], body] = await Promise.all([once(stream, "response"), text(stream)]);
    await closed;
    expect(stream.rstCode).toBe(0);
    expect(`${answer[":status"]} ${trailers["grpc-status"]} ${body.replaceAll(/[^ -~]+/g, "")}`).toMatch(refusal);

    const again = session.request({ ...headers, authorization: "Bearer right" });
    again.end(type === "application/json" ? "{}" : Buffer.alloc(5));
    const [next] = await once(again, "response");
    expect(next[":status"]).toBe(200);
    again.resume();
    expect([...sockets][0]?.bytesRead).toBeLessThan(1024 * 1024);
    session.destroy();
  });
});

it("a short body that nobody reads costs no connection", async () => {
  const json = { "content-type": "application/json" };
  const socket = connectTcp(listener.port, "127.0.0.1");
  const head = (length: number, key: string): string =>
    `POST ${PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${json["content-type"]}\r\nAuthorization: Bearer ${key}\r\nContent-Length: ${length}\r\n\r\n`;
  socket.write(head(1000, "wrong"));
  const [first] = (await once(socket, "data")) as [Buffer];
  expect(first.toString()).toMatch(/^HTTP\/1\.1 401 /);
  socket.write(`${" ".repeat(1000)}${head(2, "right")}{}`);
  const [second] = (await once(socket, "data")) as [Buffer];
  expect(second.toString()).toMatch(/^HTTP\/1\.1 200 /);
  socket.destroy();
});

it("a path of nothing has its body left alone, too", async () => {
  const request = httpRequest(`${baseUrl()}/nothing`, {
    method: "POST",
    headers: { "content-length": String(HUGE_BYTES) },
  });
  request.on("error", () => {});
  pour(request);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  expect(response.statusCode).toBe(404);
  response.resume();
  expect(await bytesRead()).toBeLessThan(1024 * 1024);
});
