import { once } from "node:events";
import { connect, type IncomingHttpHeaders } from "node:http2";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { connectNodeAdapter, createGrpcTransport } from "@connectrpc/connect-node";
import { AgentQueryController } from "@stigmer/protos/agent/v1";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listen, type Listener } from "./listen.ts";
import { plainGrpcMessages } from "./plain-grpc-messages.ts";

let listener: Listener;
beforeAll(async () => {
  const handler = connectNodeAdapter({
    routes: (router) => {
      router.service(AgentQueryController, {
        get: ({ value }) => {
          throw new ConnectError(value, Code.NotFound);
        },
        list: () => ({}),
      });
    },
  });
  listener = await listen({ host: "127.0.0.1", port: 0, handler: plainGrpcMessages(handler) });
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
