import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController, AgentQueryController } from "@stigmer/protos/agent/v1";
import { AgentExecutionQueryController } from "@stigmer/protos/agentexecution/v1";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "@stigmer/protos/grpc/health/v1";
import { ServerReflection } from "@stigmer/protos/grpc/reflection/v1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openIssuer } from "../auth/__fixtures__/local-issuer.ts";
import { startServer, type RunningServer } from "../start-server.ts";

let home: string;
let server: RunningServer | undefined;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-auth-"));
});
afterEach(async () => {
  await server?.close();
  await rm(home, { recursive: true });
});

async function start(options?: { allowDummyKey: boolean }): Promise<{ transport: Transport; apiKey: string }> {
  server = await startServer({ home, port: 0, ...options });
  return { transport: createGrpcTransport({ baseUrl: `http://${server.endpoint}` }), apiKey: server.apiKey };
}

const withKey = (authorization: string): { headers: { authorization: string } } => ({ headers: { authorization } });

const noKey = { code: Code.Unauthenticated, rawMessage: "no API key: send the header `authorization: Bearer <key>`" };
const wrongKey = { code: Code.Unauthenticated, rawMessage: "the API key is not valid for this server" };

describe("a call", () => {
  it("is taken with the key of the key file, however its scheme is written", async () => {
    const { transport, apiKey } = await start();
    expect((await readFile(join(home, "local.key"), "utf8")).trim()).toBe(apiKey);
    const agents = createClient(AgentQueryController, transport);
    for (const scheme of ["Bearer", "bearer", "BEARER"]) {
      expect((await agents.list({}, withKey(`${scheme} ${apiKey}`))).items).toEqual([]);
    }
  });

  it("is refused without a key, whatever it is for", async () => {
    const { transport, apiKey } = await start();
    const agents = createClient(AgentQueryController, transport);
    await expect(agents.list({})).rejects.toMatchObject(noKey);
    for (const header of [apiKey, "Bearer", "Bearer ", `Basic ${apiKey}`]) {
      await expect(agents.list({}, withKey(header))).rejects.toMatchObject(noKey);
    }
    const watch = createClient(AgentExecutionQueryController, transport).watch({ executionId: "aex-1" });
    await expect(watch[Symbol.asyncIterator]().next()).rejects.toMatchObject(noKey);
    async function* questions() {
      yield { messageRequest: { case: "listServices" as const, value: "" } };
    }
    const reflection = createClient(ServerReflection, transport).serverReflectionInfo(questions());
    await expect(reflection[Symbol.asyncIterator]().next()).rejects.toMatchObject(noKey);
    const connect = createConnectTransport({ baseUrl: `http://${server?.endpoint}`, httpVersion: "1.1" });
    await expect(createClient(AgentQueryController, connect).list({})).rejects.toMatchObject(noKey);
  });

  it("is refused with another key", async () => {
    const { transport, apiKey } = await start();
    const agents = createClient(AgentQueryController, transport);
    for (const key of [
      "dummy-local-key",
      "wrong",
      `${apiKey}x`,
      apiKey.slice(1),
      apiKey.toLowerCase(),
      `${apiKey} x`,
    ]) {
      await expect(agents.list({}, withKey(`Bearer ${key}`))).rejects.toMatchObject(wrongKey);
    }
  });

  it("is taken in cloud mode from who an authenticator knows, under any name of the server, and there is no key file", async () => {
    const authenticators = [async (token: string) => (token === "ada" ? { id: "ada", org: "acme", role } : undefined)];
    const role = "member" as const;
    server = await startServer({ mode: "cloud", home, port: 0, host: "127.0.0.2", authenticators });
    expect(server.endpoint).toBe(`127.0.0.2:${server.port}`);
    expect(server.apiKey).toBe("");
    expect(await readdir(home)).toEqual(["data"]);
    const interceptors: Interceptor[] = [
      (next) => (request) => {
        request.header.set("host", "stigmer.example.com");
        return next(request);
      },
    ];
    const transport = createConnectTransport({
      baseUrl: `http://${server.endpoint}`,
      httpVersion: "1.1",
      interceptors,
    });
    const agents = createClient(AgentQueryController, transport);
    expect((await agents.list({}, withKey("Bearer ada"))).items).toEqual([]);
    for (const token of ["bob", "dummy-local-key", "stk_x"]) {
      await expect(agents.list({}, withKey(`Bearer ${token}`))).rejects.toMatchObject({ code: Code.Unauthenticated });
    }
    await expect(agents.list({}, withKey("Bearer "))).rejects.toMatchObject(noKey);
  });

  it("is taken in cloud mode with a token of the issuer that is configured, and there alone", async () => {
    await using issuer = await openIssuer();
    const oidc = { issuer: issuer.url, audience: "stigmer", orgClaim: "tenant", roleClaim: "groups" };
    const claims = { iss: issuer.url, aud: "stigmer", sub: "ada", tenant: "acme", groups: ["owner"] };
    const token = await issuer.sign({ ...claims, exp: Math.floor(Date.now() / 1000) + 300 });
    const late = await issuer.sign({ ...claims, exp: Math.floor(Date.now() / 1000) - 300 });
    const open = async (mode: "cloud" | "local") => {
      server = await startServer({ mode, home, port: 0, oidc });
      return createClient(AgentQueryController, createGrpcTransport({ baseUrl: `http://${server.endpoint}` }));
    };
    const cloud = await open("cloud");
    expect((await cloud.list({}, withKey(`Bearer ${token}`))).items).toEqual([]);
    await expect(cloud.list({}, withKey(`Bearer ${late}`))).rejects.toMatchObject({
      code: Code.Unauthenticated,
      rawMessage: expect.stringMatching(/^the token has expired on 20\d\d-/) as string,
    });
    await server?.close();
    const local = await open("local");
    await expect(local.list({}, withKey(`Bearer ${token}`))).rejects.toMatchObject(wrongKey);
  });

  it("is not told what else is wrong with it before it has a key", async () => {
    const { transport } = await start();
    await expect(createClient(AgentCommandController, transport).create({})).rejects.toMatchObject(noKey);
  });

  it("is taken with the key of older clients where that is allowed, and with the real one", async () => {
    const { transport, apiKey } = await start({ allowDummyKey: true });
    const agents = createClient(AgentQueryController, transport);
    expect((await agents.list({}, withKey("Bearer dummy-local-key"))).items).toEqual([]);
    expect((await agents.list({}, withKey(`Bearer ${apiKey}`))).items).toEqual([]);
    await expect(agents.list({}, withKey("Bearer dummy-local"))).rejects.toMatchObject(wrongKey);
  });

  it("needs no key to ask for the server's health, and a wrong one does no harm", async () => {
    const { transport } = await start();
    const health = createClient(Health, transport);
    expect((await health.check({})).status).toBe(ServingStatus.SERVING);
    expect((await health.check({}, withKey("Bearer wrong"))).status).toBe(ServingStatus.SERVING);
    await expect(health.check({ service: "x".repeat(100_000) })).rejects.toMatchObject({
      code: Code.ResourceExhausted,
    });
  });
});
