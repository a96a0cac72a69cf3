import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { startHealthServer, type HealthServer, type NotReady } from "./health-server.ts";

const well = { notReady: () => undefined, degraded: () => undefined };

let server: HealthServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

describe("the health endpoints", () => {
  it("live while the process does, and are ready while it takes work", async () => {
    let reason: NotReady | undefined = "starting";
    let lacks: string | undefined;
    const condition = { notReady: () => reason, degraded: () => lacks };
    server = await startHealthServer({ host: "127.0.0.1", port: 0 }, condition);
    const { url } = server;
    const ask = async (path: string): Promise<[number, string]> => {
      const response = await fetch(`${url}${path}`);
      return [response.status, await response.text()];
    };
    expect(await ask("/healthz")).toEqual([200, "ok\n"]);
    expect(await ask("/readyz")).toEqual([503, "starting\n"]);
    reason = undefined;
    expect(await ask("/readyz?verbose")).toEqual([200, "ok\n"]);
    lacks = "Redis is away";
    expect(await ask("/readyz")).toEqual([200, "ok, degraded: Redis is away\n"]);
    expect(await ask("/healthz")).toEqual([200, "ok\n"]);
    for (const word of ["disconnected", "draining"] as const) {
      reason = word;
      expect(await ask("/readyz")).toEqual([503, `${word}\n`]);
      expect(await ask("/healthz")).toEqual([200, "ok\n"]);
    }
  });

  it("say nothing else", async () => {
    server = await startHealthServer({ host: "127.0.0.1", port: 0 }, well);
    expect((await fetch(`${server.url}/`)).status).toBe(404);
    expect((await fetch(`${server.url}/healthz`, { method: "POST" })).status).toBe(405);
    const head = await fetch(`${server.url}/readyz`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  it("are reached over IPv4 and IPv6 when they listen on all interfaces", async () => {
    server = await startHealthServer({ host: "::", port: 0 }, well);
    const { port } = new URL(server.url);
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  });

  it("name what is in the way of their port", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as AddressInfo;
    await expect(startHealthServer({ host: "127.0.0.1", port }, well)).rejects.toThrow("EADDRINUSE");
    await new Promise((resolve) => taken.close(resolve));
  });
});
