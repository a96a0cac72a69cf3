import { once } from "node:events";
import { type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders } from "node:http2";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentQueryController } from "@stigmer/protos/agent/v1";
import { AgentExecutionQueryController } from "@stigmer/protos/agentexecution/v1";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { silentLogger } from "../logger.ts";
import { connectHandler } from "./connect-handler.ts";
import { listen, type Listener } from "./listen.ts";

let listener: Listener;
const logged: string[] = [];
beforeAll(async () => {
  const handler = connectHandler({
    routes: (router) => {
      router.service(AgentQueryController, {
        get: ({ value }) => {
          throw new ConnectError(value, Code.NotFound);
        },
        list: () => ({}),
      });
      router.service(AgentExecutionQueryController, {
        // More than any buffer holds.
        async *subscribe() {
          for (;;) yield { kind: "x".repeat(100_000) };
        },
      });
    },
    interceptors: [],
    readMaxBytes: 1_000_000,
    logger: { ...silentLogger, debug: (_fields, message) => void logged.push(message) },
  });
  listener = await listen({ host: "127.0.0.1", port: 0, handler });
});
afterAll(() => listener.close({ graceMs: 0 }));

const baseUrl = (): string => `http://127.0.0.1:${listener.port}`;

/** What stands on the wire. */
async function trailersOf(method: string, value: string): Promise<IncomingHttpHeaders> {
  const session = connect(baseUrl());
  const stream = session.request({
    ":method": "POST",
    ":path": `/${AgentQueryController.typeName}/${method}`,
    "content-type": "application/grpc",
  });
  const text = Buffer.from(value);
  const trailers = once(stream, "trailers") as Promise<[IncomingHttpHeaders]>;
  stream.resume().end(Buffer.concat([Buffer.from([0, 0, 0, 0, text.length + 2, 0x0a, text.length]), text]));
  const [fields] = await trailers;
  session.destroy();
  return fields;
}

describe("an error's message", () => {
  it.each([
    ["name: a/b; c?d#e [f] & g=h, i@j + $k", "name: a/b; c?d#e [f] & g=h, i@j + $k"],
    ["100 %", "100 %25"],
    ["%41", "%2541"],
    ["größe 🐋", "gr%C3%B6%C3%9Fe %F0%9F%90%8B"],
    ["two\r\nlines\t\0", "two%0D%0Alines%09%00"],
    [" at its ends  ", "%20at its ends%20%20"],
    ["~ is the last, \x7f beyond", "~ is the last, %7F beyond"],
  ])("%j is written %j", async (message, written) => {
    expect(await trailersOf("get", message)).toMatchObject({ "grpc-status": "5", "grpc-message": written });
    const client = createClient(AgentQueryController, createGrpcTransport({ baseUrl: baseUrl() }));
    await expect(client.get({ value: message })).rejects.toMatchObject({ code: Code.NotFound, rawMessage: message });
  });
});

it("an answer without error stays as it is", async () => {
  expect(await trailersOf("list", "")).toMatchObject({ "grpc-status": "0" });
});

describe("a client that leaves amid its answer", () => {
  const stderr = vi.spyOn(console, "error");

  it.each([
    ["resets its stream", (stream: ClientHttp2Stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR)],
    ["hangs up", (stream: ClientHttp2Stream) => stream.session?.destroy()],
  ])("and %s is forgotten without a word on stderr", async (_how, leave) => {
    const session = connect(baseUrl());
    session.on("error", () => {});
    const stream = session.request({
      ":method": "POST",
      ":path": `/${AgentExecutionQueryController.typeName}/subscribe`,
      "content-type": "application/grpc",
    });
    stream.on("error", () => {});
    stream.end(Buffer.alloc(5));
    await once(stream, "response");
    logged.length = 0;
    leave(stream);
    await vi.waitFor(() => expect(logged).toContain("an answer did not reach its caller"), { timeout: 20_000 });
    expect(stderr).not.toHaveBeenCalled();
    session.destroy();
  });
});

it("a path of nothing is told so", async () => {
  expect((await fetch(`${baseUrl()}/favicon.ico`)).status).toBe(404);
});
