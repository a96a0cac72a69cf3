import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { Agent, request as httpsRequest } from "node:https";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { Client as GrpcJsClient, credentials } from "@grpc/grpc-js";
import { AgentIdSchema, AgentQueryController, AgentSchema } from "@stigmer/protos/agent/v1";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { silentLogger } from "../logger.ts";
import { startServer } from "../start-server.ts";
import { createAuthority } from "./__fixtures__/certificates.ts";
import { openCertificate, type TlsFiles } from "./certificate.ts";
import { listen, type Listener } from "./listen.ts";

const authority = await createAuthority();
const { ca } = authority;

let folder: string;
let files: TlsFiles;
let listener: Listener;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-tls-"));
  files = await authority.write(folder);
  const { present: certificate } = await openCertificate({ files, logger: silentLogger });
  const handler = connectNodeAdapter({
    routes: (router) => {
      router.service(AgentQueryController, { get: ({ value }) => ({ metadata: { id: value } }) });
    },
  });
  const patience = { headersMs: 200, checkMs: 20 };
  listener = await listen({ host: "127.0.0.1", port: 0, handler, certificate, patience });
});
afterEach(async () => {
  await listener.close({ graceMs: 0 });
  await rm(folder, { recursive: true });
});

const nodeOptions = { ca };
const base = (): string => `https://localhost:${listener.port}`;

function shake(options: object): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: "127.0.0.1", port: listener.port, ca, ...options }, () => resolve(socket));
    socket.on("error", reject);
  });
}

describe("one port with TLS", () => {
  it.each([
    ["gRPC over HTTP/2", () => createGrpcTransport({ baseUrl: base(), nodeOptions })],
    ["gRPC-Web over HTTP/1.1", () => createGrpcWebTransport({ baseUrl: base(), httpVersion: "1.1", nodeOptions })],
    ["Connect over HTTP/1.1", () => createConnectTransport({ baseUrl: base(), httpVersion: "1.1", nodeOptions })],
    ["Connect over HTTP/2", () => createConnectTransport({ baseUrl: base(), httpVersion: "2", nodeOptions })],
  ])("speaks %s", async (_name, transport) => {
    const client = createClient(AgentQueryController, transport());
    expect((await client.get({ value: "agt-1" })).metadata?.id).toBe("agt-1");
  });

  it("speaks with gRPC's own client for Node", async () => {
    const client = new GrpcJsClient(`localhost:${listener.port}`, credentials.createSsl(Buffer.from(ca)));
    const { typeName } = AgentQueryController;
    const answer = await new Promise<Uint8Array>((resolve, reject) =>
      client.makeUnaryRequest(
        `/${typeName}/get`,
        (id: Uint8Array) => Buffer.from(id),
        (bytes) => new Uint8Array(bytes),
        toBinary(AgentIdSchema, create(AgentIdSchema, { value: "agt-2" })),
        (error, value) => (error ? reject(error) : resolve(value ?? new Uint8Array())),
      ),
    );
    expect(fromBinary(AgentSchema, answer).metadata?.id).toBe("agt-2");
    client.close();
  });

  it("agrees upon the protocol, in TLS 1.2 or newer", async () => {
    for (const [ALPNProtocols, expected] of [
      [["h2", "http/1.1"], "h2"],
      [["http/1.1"], "http/1.1"],
      [undefined, false],
    ] as const) {
      const socket = await shake({ ALPNProtocols });
      expect(socket.alpnProtocol).toBe(expected);
      socket.destroy();
    }
    const old = await shake({ maxVersion: "TLSv1.2" });
    expect(old.getProtocol()).toBe("TLSv1.2");
    old.destroy();
    // The client would, at the lowest level of security: it is the server that does not.
    const older = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" };
    await expect(shake(older)).rejects.toThrow(/alert|version/i);
  });

  it("is not believed without its authority", async () => {
    const client = createClient(AgentQueryController, createGrpcTransport({ baseUrl: base() }));
    await expect(client.get({ value: "agt-1" })).rejects.toMatchObject({
      message: expect.stringMatching(/certificate/) as string,
    });
  });

  it("shows a renewed certificate to the next connection; one that is open goes on", async () => {
    const open = createClient(AgentQueryController, createGrpcTransport({ baseUrl: base(), nodeOptions }));
    await open.get({ value: "agt-1" });
    const next = await authority.write(folder, { name: "renewed" });
    listener.renew((await openCertificate({ files: next, logger: silentLogger })).present);
    const socket = await shake({});
    expect(socket.getPeerCertificate().subject.CN).toBe("renewed");
    socket.destroy();
    expect((await open.get({ value: "agt-3" })).metadata?.id).toBe("agt-3");
  });

  it("gives up who never encrypts, and who is silent then", async () => {
    const closed = (socket: { on(event: "close", listener: () => void): unknown }): Promise<void> =>
      new Promise((resolve) => socket.on("close", () => resolve()));
    const silent = connectTcp(listener.port, "127.0.0.1");
    const plain = connectTcp(listener.port, "127.0.0.1", () => plain.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    const cut = [silent, plain].map((socket) => closed(socket.resume().on("error", () => {})));
    const encrypted = await shake({ ALPNProtocols: ["http/1.1"] });
    await Promise.all([...cut, closed(encrypted.resume())]);
  });

  it("does not wait for connections that are only kept alive, nor for ever for those half open", async () => {
    const agent = new Agent({ keepAlive: true, ca });
    await new Promise<void>((resolve, reject) => {
      const request = httpsRequest(base(), { agent, method: "POST" }, (response) => {
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

it("a server of cloud mode speaks TLS alone, and takes a renewed certificate over", async () => {
  const tls = await authority.write(folder, { name: "first" });
  const server = await startServer({ mode: "cloud", home: join(folder, "home"), port: 0, tls });
  try {
    expect(server.endpoint).toBe(`https://127.0.0.1:${server.port}`);
    const unauthenticated = { code: Code.Unauthenticated };
    const client = createClient(AgentQueryController, createGrpcTransport({ baseUrl: server.endpoint, nodeOptions }));
    await expect(client.list({})).rejects.toMatchObject(unauthenticated);
    const next = await authority.write(folder, { name: "second" });
    await copyFile(next.keyFile, tls.keyFile);
    await copyFile(next.certFile, tls.certFile);
    const shown = async (): Promise<unknown> => {
      const socket = await shake({ port: server.port });
      const { subject } = socket.getPeerCertificate();
      socket.destroy();
      return subject.CN;
    };
    await vi.waitFor(async () => expect(await shown()).toBe("second"), { timeout: 20_000, interval: 200 });
  } finally {
    await server.close();
  }
}, 30_000);
