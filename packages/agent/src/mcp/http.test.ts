import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { call } from "./__fixtures__/call.ts";
import { startMoodyHttp, testConnections } from "./__fixtures__/servers.ts";
import type { McpHttpServerConfig } from "./mcp-config.ts";
import type { McpConnections } from "./mcp-connections.ts";

let connections: McpConnections;
const servers: Server[] = [];

beforeEach(() => {
  connections = testConnections({ backoffMs: 1 });
});

afterEach(async () => {
  await connections.close();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

const request = (server: Partial<McpHttpServerConfig>): Parameters<McpConnections["open"]>[0] => ({
  sessionId: "s",
  directory: tmpdir(),
  servers: [{ type: "http", name: "h", field: "spec.mcp_servers[0]", url: "", ...server }],
});

const admitted = { headers: { authorization: "Bearer let-me-in" }, query: { room: "7" } };

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("a server over HTTP", () => {
  it("gets the headers and the query with each request", async () => {
    await using server = await startMoodyHttp();
    const toolset = await connections.open(request({ url: server.url, ...admitted }));
    expect(await call(toolset, "h__weather")).toBe('{"degrees":21}');
    expect(await call(toolset, "h__fail")).toBe("failed: no such note");
  });

  it("that dies in the middle of a call fails it, and is reached again when it is back", async () => {
    await using server = await startMoodyHttp();
    const toolset = await connections.open(request({ url: server.url, ...admitted }));
    const hanging = call(toolset, "h__crash");
    expect(await hanging).toMatch(
      /^failed: The MCP server h was lost while it ran crash: .*What the call did is not known\./,
    );
    expect(await call(toolset, "h__pid")).toMatch(
      /^failed: The MCP server h can't be reached: fetch failed: .*ECONNREFUSED/,
    );
    await using again = await startMoodyHttp(server.port);
    expect(await call(toolset, "h__pid")).toBe(String(again.process.pid));
  });

  it("that was started again knows no session of before, which no call sees", async () => {
    await using server = await startMoodyHttp();
    const toolset = await connections.open(request({ url: server.url, ...admitted }));
    await server[Symbol.asyncDispose]();
    await using again = await startMoodyHttp(server.port);
    expect(await call(toolset, "h__pid")).toBe(String(again.process.pid));
  });

  it("is told when a call is given up", async () => {
    await using server = await startMoodyHttp();
    const toolset = await connections.open(request({ url: server.url, ...admitted }));
    const stop = new AbortController();
    const hanging = call(toolset, "h__hang", {}, stop.signal);
    stop.abort(new Error("enough"));
    expect(await hanging).toMatch(/enough|abort/i);
    expect(await call(toolset, "h__pid")).toBe(String(server.process.pid));
    const brief = await connections.open({
      ...request({ url: server.url, timeoutMs: 200, ...admitted }),
      sessionId: "t",
    });
    expect(await call(brief, "h__hang")).toBe(
      "failed: The MCP server h gave no answer to hang within 0.2 s. What the call did is not known.",
    );
  });
});

describe("an address that is no server's", () => {
  it.each<[string, RequestListener, RegExp]>([
    [
      "refuses the key",
      (_, response) => void response.writeHead(401).end("no such key"),
      /^spec\.mcp_servers\[0\]\.http\.headers: the MCP server h can't be used: it refuses the credentials \(HTTP 401\): no such key\.$/,
    ],
    [
      "has no server",
      (_, response) => void response.writeHead(404).end("<html>"),
      /^spec\.mcp_servers\[0\]\.http\.url: .* there is no MCP server at this address \(HTTP 404\)\.$/,
    ],
    [
      "leads elsewhere",
      (_, response) => void response.writeHead(302, { location: "https://login.example.com/?next=mcp" }).end(),
      /\.http\.url: .* it answers with a redirect \(HTTP 302\): .*https:\/\/login\.example\.com/,
    ],
    [
      "fails",
      (_, response) => void response.writeHead(503).end("come back later"),
      /\.http\.url: .* it answers with HTTP 503: come back later\.$/,
    ],
    [
      "shows a page",
      (_, response) => void response.writeHead(200, { "content-type": "text/html" }).end("<html>"),
      /\.http\.url: .* it does not answer as an MCP server: .*text\/html/,
    ],
  ])("that %s: says so, and in which field", async (_, listener, message) => {
    const url = `${await listen(listener)}/mcp`;
    await expect(connections.open(request({ url }))).rejects.toMatchObject({
      code: "mcp-server",
      message: expect.stringMatching(message),
    });
  });

  it("that says nothing, is not there, or is no address", async () => {
    const impatient = testConnections({ connectTimeoutMs: 300 });
    const silent = `${await listen(() => {})}/mcp`;
    await expect(impatient.open(request({ url: silent }))).rejects.toThrow(
      "spec.mcp_servers[0].http.url: the MCP server h can't be used: it gave no answer within 0.3 s.",
    );
    await impatient.close();
    const gone = await listen(() => {});
    await new Promise((resolve) => servers.pop()?.close(resolve));
    await expect(connections.open(request({ url: gone }))).rejects.toThrow(
      /\.http\.url: .* fetch failed: connect ECONNREFUSED 127\.0\.0\.1:\d+\.$/,
    );
    await expect(connections.open(request({ url: "not an address" }))).rejects.toThrow(
      "it is not an address, such as https://example.com/mcp.",
    );
  });

  it("keeps secrets of the query and the headers out of what it says", async () => {
    const url = `${await listen((_, response) => void response.writeHead(403).end("bad token hunter22"))}/mcp`;
    const opened = connections.open({
      ...request({ url, query: { token: "hunter22" }, headers: { "x-key": "hunter22" } }),
      mask: (text) => text.replaceAll("hunter22", "********"),
    });
    await expect(opened).rejects.toThrow("(HTTP 403): bad token ********.");
  });
});
