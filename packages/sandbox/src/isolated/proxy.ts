// The one way out of a sandbox with an allow-list: a proxy in this process, behind a socket that lies outside the sandbox,
// and a bridge that listens inside. The bridge is in the sandbox's network and in nothing else of it, so that commands can
// neither see nor stop it. There is no other route: the network that they are in has none.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex, Readable } from "node:stream";
import { SandboxError } from "../errors.ts";
import { createAllowList, type AllowList } from "./allow-list.ts";

/** Where it listens in the sandbox. */
const port = 3128;
const url = `http://127.0.0.1:${port}`;
const connectTimeoutMs = 30_000;

/** By these the programs in the sandbox know it. */
export const proxyEnvironment: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].flatMap((name) => [
      [name, url],
      [name.toLowerCase(), url],
    ]),
  ),
  NO_PROXY: "localhost,127.0.0.1,::1",
  no_proxy: "localhost,127.0.0.1,::1",
  NODE_USE_ENV_PROXY: "1",
};

export interface Proxy {
  /** Lets a network in. `enter` is nsenter with its arguments. Its bridge ends with `endBridge`, or this process. */
  bridge(enter: readonly [string, ...string[]]): Promise<Bridge>;
  end(): Promise<void>;
}

export interface Bridge {
  end(): void;
}

export async function createProxy(domains: readonly string[]): Promise<Proxy> {
  const list = createAllowList(domains);
  const folder = await mkdtemp(join(tmpdir(), "sandbox-proxy-"));
  const socketPath = join(folder, "socket");
  const connections = new Set<Duplex>();
  const server = createServer((incoming, response) => forward(incoming, response, list));
  server.on("connection", (socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  });
  server.on("connect", (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    tunnel(incoming.url ?? "", { socket, head }, list);
  });
  server.listen(socketPath);
  await once(server, "listening");
  server.unref();
  return {
    bridge: (enter) => startBridge(enter, socketPath),
    async end() {
      server.close();
      for (const connection of connections) connection.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const bridgeScript = `
const { connect, createServer } = require("node:net");
const [path, port] = process.argv.slice(1);
createServer({ allowHalfOpen: true }, (inside) => {
  const outside = connect({ path, allowHalfOpen: true });
  inside.pipe(outside).pipe(inside);
  inside.on("error", () => outside.destroy());
  outside.on("error", () => inside.destroy());
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
process.stdin.on("end", () => process.exit()).resume();`;

async function startBridge([file, ...args]: readonly [string, ...string[]], socketPath: string): Promise<Bridge> {
  const node = [process.execPath, "--eval", bridgeScript, socketPath, String(port)];
  const child = spawn(file, [...args, ...node], {
    cwd: "/",
    env: {},
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.on("error", () => {});
  let said = "";
  child.stderr.on("data", (bytes: Buffer) => (said = (said + bytes.toString()).slice(-1000)));
  const ready = once(child.stdout as Readable, "data").then(() => true);
  const isReady = await Promise.race([ready, once(child, "exit").then(() => false)]).catch((error: unknown) => {
    said += String(error);
    return false;
  });
  if (!isReady) {
    throw new SandboxError("backend-error", `The bridge into the sandbox's network did not start: ${said.trim()}`);
  }
  unref(child);
  return { end: () => void child.kill("SIGKILL") };
}

function unref(child: ChildProcess): void {
  child.unref();
  for (const pipe of child.stdio) (pipe as { unref?: () => void } | null)?.unref?.();
}

/** CONNECT, as for HTTPS: from here on bytes go both ways unread. */
function tunnel(target: string, from: { readonly socket: Duplex; readonly head: Buffer }, list: AllowList): void {
  const { socket, head } = from;
  socket.on("error", () => {});
  const place = hostAndPort(`http://${target}`, 443);
  if (place === undefined || !list.allows(place.host)) {
    const text = refusal(place?.host ?? target);
    socket.end(
      `HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
    return;
  }
  const outside: Socket = connect({ ...place, lookup: list.lookup, timeout: connectTimeoutMs });
  outside.once("connect", () => {
    outside.setTimeout(0);
    socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    outside.write(head);
    socket.pipe(outside).pipe(socket);
  });
  outside.once("timeout", () => outside.destroy(new Error("timed out")));
  outside.once("error", (error) => {
    if (outside.bytesRead > 0) socket.destroy();
    else socket.end(`HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nX-Reason: ${oneLine(error.message)}\r\n\r\n`);
  });
  socket.once("close", () => outside.destroy());
  outside.once("close", () => socket.destroy());
}

const hopByHop = ["proxy-authorization", "proxy-connection", "connection", "keep-alive", "te", "upgrade"];

/** A plain HTTP request, which names its whole address. */
function forward(incoming: IncomingMessage, response: ServerResponse, list: AllowList): void {
  const place = hostAndPort(incoming.url ?? "", 80);
  if (place === undefined || !list.allows(place.host)) {
    response.writeHead(403, { "content-type": "text/plain" }).end(refusal(place?.host ?? ""));
    return;
  }
  const { pathname, search, host } = new URL(incoming.url ?? "");
  const headers = Object.fromEntries(Object.entries(incoming.headers).filter(([name]) => !hopByHop.includes(name)));
  const outgoing = request({
    ...place,
    lookup: list.lookup,
    method: incoming.method,
    path: pathname + search,
    // Not what the command says: that could name another site of the same server.
    headers: { ...headers, host },
    agent: false,
  });
  outgoing.once("response", (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  outgoing.once("error", (error) => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502, { "content-type": "text/plain" }).end(`${oneLine(error.message)}\n`);
  });
  response.once("close", () => outgoing.destroy());
  incoming.pipe(outgoing);
}

function hostAndPort(address: string, otherwise: number): { host: string; port: number } | undefined {
  if (!URL.canParse(address)) return undefined;
  const { protocol, hostname, port: given, username } = new URL(address);
  if (protocol !== "http:" || username !== "" || hostname === "") return undefined;
  return { host: hostname, port: given === "" ? otherwise : Number(given) };
}

const refusal = (host: string): string => `${oneLine(host)} is not on the allow-list of this sandbox.\n`;
const oneLine = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, " ");
