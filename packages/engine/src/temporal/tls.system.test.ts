// Temporal behind TLS, as a service in the cloud is: the dev server speaks none, so something before it does.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createSecureServer } from "node:http2";
import { type AddressInfo, connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type Server } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { quiet } from "../embedded/__fixtures__/server.ts";
import { type DevServer, startDevServer } from "./__fixtures__/dev-server.ts";
import { activitiesOf, completed, startTemporalSystem } from "./__fixtures__/temporal-system.ts";
import { checkTemporal } from "./check-temporal.ts";

let folder: string;
let dev: DevServer;
let front: Server;
let address: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stigmer-temporal-tls-"));
  await makeCertificate("ca", "/CN=authority", []);
  await makeCertificate("server", "/CN=127.0.0.1", [...byAuthority(), "-addext", "subjectAltName=IP:127.0.0.1"]);
  await makeCertificate("client", "/CN=stigmer", byAuthority());
  dev = await startDevServer({ namespaces: 1 });
  const [cert, key, ca] = await Promise.all(["server.pem", "server.key", "ca.pem"].map(read));
  // Whoever has no certificate of ours is not spoken to.
  const options = { cert, key, ca, requestCert: true, rejectUnauthorized: true, ALPNProtocols: ["h2"] };
  front = createServer(options, (socket) => {
    const upstream = connectTcp(dev.port, "127.0.0.1");
    socket.pipe(upstream).pipe(socket);
    for (const end of [socket, upstream]) end.on("error", () => [socket, upstream].forEach((each) => each.destroy()));
  });
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  address = `127.0.0.1:${(front.address() as AddressInfo).port}`;
}, 60_000);
afterAll(async () => {
  front.close();
  await dev.dispose();
  await rm(folder, { recursive: true });
});

const file = (name: string): string => join(folder, name);
const read = (name: string): Promise<Buffer> => readFile(file(name));

/** Temporal's own client takes no certificate that signs itself: an authority signs both sides'. */
async function makeCertificate(name: string, subject: string, more: readonly string[]): Promise<void> {
  const how = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const out = ["-keyout", file(`${name}.key`), "-out", file(`${name}.pem`)];
  await promisify(execFile)("openssl", [...how, "-subj", subject, ...more, ...out]);
}

const signed = ["-addext", "basicConstraints=critical,CA:FALSE"];
const byAuthority = (): string[] => ["-CA", file("ca.pem"), "-CAkey", file("ca.key"), ...signed];

const ours = () => ({ caFile: file("ca.pem"), certFile: file("client.pem"), keyFile: file("client.key") });

it("runs over TLS, where both sides show a certificate", { timeout: 90_000 }, async () => {
  const system = await startTemporalSystem(dev, { address, tls: ours() });
  try {
    await system.startRunner({ activities: activitiesOf(async () => completed()) });
    await system.submit({ id: "aex-1", sessionId: "ses-1" });
    await system.engine.start("aex-1");
    await expect.poll(() => system.ends, { timeout: 60_000 }).toMatchObject([{ executionId: "aex-1", error: "" }]);
  } finally {
    await system.dispose();
  }
});

it.each([
  ["a certificate that nobody here vouches for", () => ({ certFile: file("client.pem"), keyFile: file("client.key") })],
  ["a certificate of ours that is not wanted there", () => ({ caFile: file("ca.pem") })],
])("says in one line that it can't be reached: %s", { timeout: 30_000 }, async (_what, tls) => {
  const target = { address, namespace: "default", tls: tls() };
  await expect(checkTemporal(target, quiet)).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringMatching(
      /^Temporal can't be reached at 127\.0\.0\.1:\d+ over TLS \([^\n]+\); check the address, that it runs and speaks TLS, .*$/,
    ) as string,
  });
});

it("says in one line that what is spoken to speaks no TLS", { timeout: 30_000 }, async () => {
  const target = { address: dev.address, namespace: "default", tls: ours() };
  await expect(checkTemporal(target, quiet)).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("over TLS") as string,
  });
});

it.each([
  ["a file that is not there", "nowhere.pem", "can't be read"],
  ["a file without a certificate", "notes.txt", "holds nothing in PEM"],
])("refuses %s before anything is sent", async (_what, name, says) => {
  await writeFile(file("notes.txt"), "Remember the milk.");
  const target = { address, namespace: "default", tls: { ...ours(), caFile: file(name) } };
  await expect(checkTemporal(target, quiet)).rejects.toMatchObject({
    code: "invalid-argument",
    message: expect.stringMatching(new RegExp(`${name} for TLS with Temporal ${says}`)) as string,
  });
});

it("shows its API key with every call, over TLS alone", { timeout: 30_000 }, async () => {
  await expect(checkTemporal({ address, namespace: "default", apiKey: "key" }, quiet)).rejects.toThrow(
    "over TLS alone",
  );
  const [cert, key] = await Promise.all(["server.pem", "server.key"].map(read));
  const shown: unknown[] = [];
  const service = createSecureServer({ cert, key });
  service.on("stream", (stream, headers) => {
    shown.push(headers["authorization"]);
    stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "16" }, { endStream: true });
  });
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
  try {
    const target = {
      address: `127.0.0.1:${(service.address() as AddressInfo).port}`,
      namespace: "default",
      tls: { caFile: file("ca.pem") },
      apiKey: "temporal-api-key",
    };
    const error: unknown = await checkTemporal(target, quiet).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ name: "EngineError" });
    expect(String(error)).not.toContain("temporal-api-key");
    expect(new Set(shown)).toEqual(new Set(["Bearer temporal-api-key"]));
  } finally {
    service.close();
  }
});
