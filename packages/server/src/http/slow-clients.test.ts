import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { listen, type Listener } from "./listen.ts";
import type { NodeHandlerFn } from "./node-handler.ts";

// Clients that take over the server's time: by mistake, or to keep others out.

const open: Listener[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((listener) => listener.close({ graceMs: 0 })));
});

const echo: NodeHandlerFn = (request, response) => {
  let body = "";
  request.on("data", (chunk: Buffer) => (body += chunk.toString()));
  request.on("end", () => void response.end(body || (request.url ?? "")));
};

async function start(handler = echo, patience = { headersMs: 300, requestMs: 600, checkMs: 50 }): Promise<number> {
  const listener = await listen({ host: "127.0.0.1", port: 0, handler, patience });
  open.push(listener);
  return listener.port;
}

interface Raw {
  readonly socket: Socket;
  /** All that the server said, once it hung up. */
  readonly said: Promise<string>;
}

function connect(port: number, bytes = ""): Raw {
  const socket = connectTcp({ port, host: "127.0.0.1", noDelay: true });
  let text = "";
  socket.on("data", (chunk) => (text += chunk.toString()));
  // A server that cuts off may do it by a reset.
  socket.on("error", () => {});
  if (bytes !== "") socket.write(bytes);
  return { socket, said: new Promise((resolve) => socket.once("close", () => resolve(text))) };
}

async function answers(port: number): Promise<boolean> {
  return (await (await fetch(`http://127.0.0.1:${port}/still-here`)).text()) === "/still-here";
}

describe("a client that stops", () => {
  it.each([
    ["before its first byte", "", ""],
    ["amid what could be an HTTP/2 preface", "PR", ""],
    ["amid its headers", "POST /x HTTP/1.1\r\nHost: localhost\r\nX-A", "HTTP/1.1 408 Request Timeout"],
    [
      "amid its body",
      "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
      "HTTP/1.1 408 Request Timeout",
    ],
    [
      "amid a second request",
      "GET /first HTTP/1.1\r\nHost: localhost\r\n\r\nGET /second HTTP/1.1\r\nHo",
      "HTTP/1.1 408 Request Timeout",
    ],
  ])("%s is cut off", async (_when, bytes, status) => {
    const port = await start();
    const { said } = connect(port, bytes);
    const text = await said;
    expect(text.match(/HTTP\/1\.1 \d+ [\w ]+/g)?.at(-1) ?? "").toBe(status);
    expect(await answers(port)).toBe(true);
  });

  it("is cut off also when it sends a byte now and then", async () => {
    const port = await start();
    const { socket, said } = connect(port, "POST /x HTTP/1.1\r\nHost: localhost\r\n");
    const drip = setInterval(() => socket.write("X-A: b\r\n"), 30);
    expect(await said).toContain("408 Request Timeout");
    clearInterval(drip);
  });

  it("and hangs up is forgotten", async () => {
    const port = await start(echo, { headersMs: 3_600_000, requestMs: 3_600_000, checkMs: 50 });
    for (const bytes of ["", "PR", "POST /x HTTP/1.1\r\nHo"]) {
      const { socket, said } = connect(port, bytes);
      await once(socket, "connect");
      socket.end();
      await said;
    }
    expect(await answers(port)).toBe(true);
  });
});

describe("a long answer", () => {
  it.each(["http1", "http2"])("outlives every limit over %s", async (protocol) => {
    const ask = Promise.withResolvers<void>();
    const port = await start((_request, response) => {
      // The types of the two protocols' answers don't overlap in `write`.
      const answer = response as { write(text: string): boolean };
      answer.write("first ");
      void ask.promise.then(() => response.end("last"));
    });
    const stream =
      protocol === "http1"
        ? await new Promise<NodeJS.ReadableStream>((resolve) => {
            httpRequest({ host: "127.0.0.1", port, path: "/x" }, resolve).end();
          })
        : connectHttp2(`http://127.0.0.1:${port}`).request({ ":path": "/x" });
    let text = "";
    stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await once(stream, "data");
    // A client that stopped is cut off meanwhile, by the very limits that must not concern this one.
    await Promise.all([connect(port).said, connect(port, "POST /x HTTP/1.1\r\nContent-Le").said]);
    await connect(port, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n").said;
    ask.resolve();
    await once(stream, "end");
    expect(text).toBe("first last");
    if (protocol === "http2") (stream as ReturnType<ReturnType<typeof connectHttp2>["request"]>).session?.destroy();
  });
});

describe("a client that says too much or nonsense", () => {
  it.each([
    ["headers", `GET /x HTTP/1.1\r\nHost: localhost\r\nX-A: ${"a".repeat(20_000)}\r\n\r\n`, "431"],
    ["a URL", `GET /${"a".repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, "431"],
    ["a line that is no HTTP", "HELO localhost\r\n\r\n", "400"],
    [
      "a body of two lengths",
      "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      "400",
    ],
    [
      "a body of a length and in chunks",
      "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      "400",
    ],
  ])("in %s is told so over HTTP/1.1", async (_what, bytes, status) => {
    const port = await start();
    expect((await connect(port, bytes).said).slice(0, 12)).toBe(`HTTP/1.1 ${status}`);
    expect(await answers(port)).toBe(true);
  });

  it.each([
    ["a preface that is not the whole one", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"],
    ["a method that begins as the preface does", "PRIZE /x HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ["no frame after the preface", `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"GET / HTTP/1.1\r\n".repeat(40)}`],
    ["a frame beyond the limit", `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x04\0\0\0\0\0`],
  ])("in %s is cut off over HTTP/2", async (_what, bytes) => {
    const port = await start();
    const { socket, said } = connect(port);
    socket.write(bytes, "latin1");
    await said;
    expect(await answers(port)).toBe(true);
  });

  it("in too many HTTP/2 headers is refused, and its connection goes on", async () => {
    const port = await start();
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`x-${index}`, "a"]));
    await expect(once(session.request({ ":path": "/x", ...many }), "response")).rejects.toMatchObject({
      message: "Stream closed with error code NGHTTP2_ENHANCE_YOUR_CALM",
    });
    await once(session.request({ ":path": "/x" }), "response");
    session.destroy();
  });

  it("in a too large HTTP/2 header is cut off", async () => {
    const port = await start();
    const session = connectHttp2(`http://127.0.0.1:${port}`, { maxSendHeaderBlockLength: 1_000_000 });
    session.request({ ":path": "/x", "x-a": "a".repeat(300_000) }).on("error", () => {});
    await expect(once(session, "close")).rejects.toMatchObject({ code: "ERR_HTTP2_SESSION_ERROR" });
    expect(await answers(port)).toBe(true);
  });

  it("and hangs up amid all of it does no harm", async () => {
    const port = await start();
    const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (const bytes of ["G", "PRI", preface, `${preface}\0\0`, "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n12"]) {
      const { socket, said } = connect(port, bytes);
      await once(socket, "connect");
      socket.resetAndDestroy();
      await said;
    }
    expect(await answers(port)).toBe(true);
  });
});

describe("connections", () => {
  it("carry requests that are sent before their answers came, in order", async () => {
    const port = await start();
    const requests = Array.from({ length: 20 }, (_, index) => `GET /${index} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    const last = "GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const text = await connect(port, requests.join("") + last).said;
    const bodies = text.split("HTTP/1.1 200 OK").map((answer) => answer.split("\r\n\r\n")[1]?.trim());
    expect(bodies.slice(1)).toEqual([...Array.from({ length: 20 }, (_, index) => `/${index}`), "/last"]);
  });

  it("may send no more and still be answered", async () => {
    const port = await start((_request, response) => void setImmediate(() => response.end("after all")));
    const { socket, said } = connect(port);
    socket.end("GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    expect(await said).toMatch(/after all$/);
  });

  it("that are idle keep nobody out, and all are closed with the server", async () => {
    const port = await start(echo, { headersMs: 60_000, requestMs: 60_000, checkMs: 50 });
    const idle = Array.from({ length: 500 }, (_, index) =>
      connect(port, ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /x HTTP/1.1\r\n"][index % 4]),
    );
    await Promise.all(idle.map(({ socket }) => once(socket, "connect")));
    expect(await answers(port)).toBe(true);
    await open.splice(0)[0]?.close({ graceMs: 0 });
    await Promise.all(idle.map(({ said }) => said));
  });
});
