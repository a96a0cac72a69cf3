import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect as connectHttp2, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import { connect as connectTcp } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listen, type Listener } from "./listen.ts";
import { readOrigins } from "./origins.ts";
import { refuseForeign } from "./refuse-foreign.ts";

let listener: Listener;
let port: number;
beforeAll(async () => {
  const handler = refuseForeign((_request, response) => void response.end("in"), {
    allowedOrigins: readOrigins(["https://app.example.com", "http://lan.example:8080", "chrome-extension://abcdef"]),
  });
  listener = await listen({ host: "127.0.0.1", port: 0, handler });
  port = listener.port;
});
afterAll(() => listener.close({ graceMs: 0 }));

type Headers = Record<string, string | string[]>;

function overHttp1(headers: Headers): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, method: "POST", path: "/x", headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on("error", reject);
    request.end();
  });
}

async function overHttp2(headers: OutgoingHttpHeaders): Promise<number | undefined> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  const stream = session.request({ ":method": "POST", ":path": "/x", ...headers });
  const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders & { ":status"?: number }];
  session.destroy();
  return answer[":status"];
}

/** What goes over the wire as it is, which no client library would send. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(port, "127.0.0.1");
    let text = "";
    socket.on("error", reject).on("data", (chunk) => (text += chunk.toString()));
    socket.on("close", () => resolve(text.split("\r\n")[0] ?? ""));
    socket.write(bytes);
  });
}

const ours = [
  "localhost",
  "localhost:50051",
  "LOCALHOST",
  "LocalHost:1",
  "127.0.0.1",
  "127.0.0.1:65535",
  "127.9.8.7",
  "127.1",
  "[::1]",
  "[::1]:50051",
  "[0:0:0:0:0:0:0:1]:80",
];

const foreign = [
  "evil.example",
  "evil.example:50051",
  "localhost.evil.example",
  "127.0.0.1.evil",
  "127.0.0.1.evil.example",
  "evil.localhost",
  // A resolver may ask the network for this one.
  "localhost.",
  "0.0.0.0",
  "192.168.0.1",
  "[::]",
  "[::2]:50051",
  "::1",
  "localhost:99999",
  "localhost:x",
  "localhost,evil.example",
  "evil.example@localhost",
  "localhost@evil.example",
  "localhost/evil.example",
  "localhost#evil.example",
  "localhost?evil.example",
  "localhost\\evil.example",
  "local host",
];

describe("the name a server is called by", () => {
  it.each(ours)("takes %s", async (name) => {
    expect(await overHttp1({ host: name })).toBe(200);
    expect(await overHttp2({ ":authority": name })).toBe(200);
  });

  it.each(foreign)("refuses %s", async (name) => {
    expect(await overHttp1({ host: name })).toBe(403);
    // Some of these are refused by HTTP/2 itself.
    expect(await overHttp2({ ":authority": name }).catch(() => 403)).toBe(403);
  });

  it("must be ours in both places where HTTP/2 has one", async () => {
    expect(await overHttp2({ ":authority": "localhost", host: "localhost" })).toBe(200);
    expect(await overHttp2({ ":authority": "localhost", host: "evil.example" })).toBe(403);
    expect(await overHttp2({ ":authority": "evil.example", host: "localhost" })).toBe(403);
  });

  it("must be there, once", async () => {
    expect(await raw("GET /x HTTP/1.0\r\n\r\n")).toBe("HTTP/1.1 403 Forbidden");
    expect(await raw("GET /x HTTP/1.1\r\nConnection: close\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
    expect(await raw("GET /x HTTP/1.0\r\nHost:\r\n\r\n")).toBe("HTTP/1.1 403 Forbidden");
    expect(await raw("GET /x HTTP/1.0\r\nHost: evil.example\r\nHost: localhost\r\n\r\n")).toBe(
      "HTTP/1.1 403 Forbidden",
    );
  });
});

describe("the page that a call comes from", () => {
  it.each([
    "http://localhost:3000",
    "https://localhost",
    "http://127.0.0.1:5173",
    "http://[::1]:8080",
    "https://app.example.com",
    "http://lan.example:8080",
    "chrome-extension://abcdef",
  ])("may be of %s", async (origin) => {
    expect(await overHttp1({ host: "localhost", origin })).toBe(200);
    expect(await overHttp2({ origin })).toBe(200);
  });

  it.each([
    "null",
    "",
    "https://evil.example",
    "https://localhost.evil.example",
    "https://evil.example?localhost",
    "file://",
    "chrome-extension://other",
    // As near as can be to those that are allowed.
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.",
    "https://APP.example.com",
    "https://app.example.com, https://evil.example",
    "https://evil.app.example.com",
    "http://lan.example",
  ])("may not be of %s", async (origin) => {
    expect(await overHttp1({ host: "localhost", origin })).toBe(403);
    expect(await overHttp2({ origin })).toBe(403);
  });

  it("may be allowed and yet call by a foreign name: that is DNS rebinding", async () => {
    expect(await overHttp1({ host: "evil.example", origin: "https://app.example.com" })).toBe(403);
  });

  it("is one page", async () => {
    expect(await overHttp1({ host: "localhost", origin: ["http://localhost:1", "https://evil.example"] })).toBe(403);
  });
});
