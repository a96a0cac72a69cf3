import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, createClient, type Client } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "@stigmer/protos/grpc/health/v1";
import { AgentExecutionQueryController as Runs } from "@stigmer/protos/agentexecution/v1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { API_SERVICES } from "../services/api-services.ts";
import { startServer, type RunningServer } from "../start-server.ts";

let home: string;
let server: RunningServer;
/** Has no key, as load balancers have none. */
let health: Client<typeof Health>;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-health-"));
  server = await startServer({ home, port: 0 });
  health = createClient(Health, createGrpcTransport({ baseUrl: `http://${server.endpoint}` }));
});
afterEach(async () => {
  await server.close();
  await rm(home, { recursive: true });
});

describe("check", () => {
  it("serves as a whole and each service", async () => {
    for (const service of ["", ...API_SERVICES.map(({ typeName }) => typeName)]) {
      expect([service, (await health.check({ service })).status]).toEqual([service, ServingStatus.SERVING]);
    }
  });

  it("knows no other service", async () => {
    await expect(health.check({ service: "not.Here" })).rejects.toMatchObject({
      code: Code.NotFound,
      rawMessage: "no service not.Here here",
    });
  });
});

describe("watch", () => {
  it("tells that the server is going, and ends", async () => {
    const seen: ServingStatus[] = [];
    for await (const { status } of health.watch({})) {
      seen.push(status);
      // The stream says more only once the server closes; the loop, and so this test, ends by the server's doing.
      if (seen.length === 1) void server.close();
    }
    expect(seen).toEqual([ServingStatus.SERVING, ServingStatus.NOT_SERVING]);
    await server.close();
  });

  it("tells that the server drains, which serves on until it is closed", async () => {
    const asUser = createClient(Runs, createGrpcTransport({ baseUrl: `http://${server.endpoint}` }));
    const headers = { authorization: `Bearer ${server.apiKey}` };
    const watching = health.watch({})[Symbol.asyncIterator]();
    expect((await watching.next()).value?.status).toBe(ServingStatus.SERVING);
    server.drain();
    expect((await watching.next()).value?.status).toBe(ServingStatus.NOT_SERVING);
    expect((await health.check({})).status).toBe(ServingStatus.NOT_SERVING);
    expect((await asUser.list({}, { headers })).entries).toEqual([]);
  });

  it("tells that a service is unknown", async () => {
    const seen = await Array.fromAsync(health.watch({ service: "not.Here" }), ({ status }) => status);
    expect(seen).toEqual([ServingStatus.SERVICE_UNKNOWN]);
  });

  it("lets its watcher go", async () => {
    const leaving = new AbortController();
    const watching = health.watch({}, { signal: leaving.signal })[Symbol.asyncIterator]();
    expect((await watching.next()).value?.status).toBe(ServingStatus.SERVING);
    leaving.abort();
    await expect(watching.next()).rejects.toMatchObject({ code: Code.Canceled });
    expect((await health.check({})).status).toBe(ServingStatus.SERVING);
  });
});
