import { once } from "node:events";
import { connect as connectTcp, createServer, type AddressInfo } from "node:net";
import { Agent, request as httpRequest } from "node:http";
import { createClient } from "@connectrpc/connect";
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { AgentQueryController } from "@stigmer/protos/agent/v1";
import { afterEach, describe, expect, it } from "vitest";
import { ServerError } from "../errors.ts";
import { listen, type Listener } from "./listen.ts";

const open: Listener[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((listener) => listener.close({ graceMs: 0 })));
});

async function start(port = 0): Promise<Listener> {
  const handler = connectNodeAdapter({
    routes: (router) => {
      router.service(AgentQueryController, { get: ({ value }) => ({ metadata: { id: value } }) });
    },
  });
  const listener = await listen({ host: "127.0.0.1", port, handler });
  open.push(listener);
  return listener;
}

describe("one port", () => {
  it.each([
    ["gRPC over HTTP/2", (baseUrl: string) => createGrpcTransport({ baseUrl })],
    ["gRPC-Web over HTTP/1.1", (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
    ["gRPC-Web over HTTP/2", (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "2" })],
    ["Connect over HTTP/1.1", (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
    ["Connect over HTTP/2", (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "2" })],
  ])("speaks %s", async (_name, transport) => {
    const { port } = await start();
    const client = createClient(AgentQueryController, transport(`http://127.0.0.1:${port}`));
    expect((await client.get({ value: "agt-1" })).metadata?.id).toBe("agt-1");
  });

  it("answers plain JSON, as curl sends it", async () => {
    const { port } = await start();
    const response = await fetch(`http://localhost:${port}/ai.stigmer.agentic.agent.v1.AgentQueryController/get`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ value: "agt-2" }),
    });
    expect(await response.json()).toEqual({ metadata: { id: "agt-2" } });
  });

  it("understands a client whose first bytes come one by one", async () => {
    const { port } = await start();
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connectTcp(port, "127.0.0.1");
      let text = "";
      socket.setNoDelay(true);
      socket.on("error", reject);
      socket.on("data", (chunk) => (text += chunk.toString()));
      socket.on("close", () => resolve(text));
      const bytes = "POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
      const send = (index: number): void => {
        if (index < bytes.length) socket.write(bytes.slice(index, index + 1), () => setImmediate(send, index + 1));
      };
      send(0);
    });
    expect(answer).toMatch(/^HTTP\/1\.1 404/);
  });

  it("understands HTTP/2 whose first bytes come one by one", async () => {
    const { port } = await start();
    // Between the two: passes the preface on byte by byte, each in a packet of its own.
    const between = createServer((client) => {
      const server = connectTcp({ port, host: "127.0.0.1", noDelay: true });
      server.pipe(client);
      client.once("data", (chunk) => {
        client.pause();
        const send = (index: number): void => {
          if (index < 24) server.write(chunk.subarray(index, index + 1), () => setImmediate(send, index + 1));
          else server.write(chunk.subarray(index), () => client.pipe(server));
        };
        send(0);
      });
      for (const socket of [client, server]) socket.on("error", () => {});
      client.once("close", () => server.destroy());
      server.once("close", () => client.destroy());
    });
    between.listen(0, "127.0.0.1");
    await once(between, "listening");
    const baseUrl = `http://127.0.0.1:${(between.address() as AddressInfo).port}`;
    const client = createClient(AgentQueryController, createGrpcTransport({ baseUrl }));
    expect((await client.get({ value: "agt-3" })).metadata?.id).toBe("agt-3");
    between.close();
  });

  it("refuses a port that is taken, and says what to do", async () => {
    const { port } = await start();
    const error = await start(port).catch((caught: unknown) => caught);
    expect(ServerError.is(error) && error.code).toBe("port-in-use");
    expect(String(error)).toContain(`Port ${port} on 127.0.0.1 is in use`);
  });

  it("closes with a stream open and an idle connection", async () => {
    const listener = await start();
    const idle = connectTcp(listener.port, "127.0.0.1");
    await new Promise((resolve) => idle.once("connect", resolve));
    const closed = new Promise((resolve) => idle.once("close", resolve));
    await listener.close({ graceMs: 10 });
    await closed;
  });

  it("does not wait for a connection that is only kept alive", async () => {
    const listener = await start();
    const agent = new Agent({ keepAlive: true });
    await new Promise<void>((resolve, reject) => {
      const request = httpRequest({ agent, host: "localhost", port: listener.port, method: "POST" }, (response) => {
        response.resume();
        response.on("end", resolve);
      });
      request.on("error", reject);
      request.end();
    });
    // With a grace of an hour, this ends only because nothing is under way.
    await listener.close({ graceMs: 3_600_000 });
    agent.destroy();
  });
});
