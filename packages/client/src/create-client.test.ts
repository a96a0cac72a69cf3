import { create } from "@bufbuild/protobuf";
import { createServer, type Server } from "node:http";
import { createServer as createHttp2, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AgentCommandController, AgentQueryController, AgentSchema } from "@stigmer/protos/agent/v1";
import { AgentExecutionCommandController } from "@stigmer/protos/agentexecution/v1";
import { SkillCommandController } from "@stigmer/protos/skill/v1";
import { afterEach, describe, expect, it } from "vitest";
import { createClient, type StigmerClient } from "./create-client.ts";
import { toBaseUrl } from "./transport.ts";

const closers: (() => void)[] = [];
afterEach(() => closers.splice(0).forEach((close) => close()));

async function serve(
  routes: Parameters<typeof connectNodeAdapter>[0]["routes"],
  apiKey = "k1",
): Promise<StigmerClient> {
  const server: Http2Server | Server = createHttp2(connectNodeAdapter({ routes }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = createClient({ endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`, apiKey });
  closers.push(() => {
    client.close();
    server.close();
  });
  return client;
}

describe("client", () => {
  it("sends its key, and its fence where it has one", async () => {
    const seen: (string | null)[] = [];
    const client = await serve((router) => {
      router.service(AgentQueryController, {
        get: ({ value }, { requestHeader }) => {
          seen.push(requestHeader.get("authorization"), requestHeader.get("stigmer-fence"));
          return { metadata: { id: value } };
        },
      });
    });
    await client.agents.get("agt-1");
    await client.underFence({ executionId: "aex-1", fence: 7 }).agents.get("agt-1");
    expect(seen).toEqual(["Bearer k1", null, "Bearer k1", "aex-1/7"]);
  });

  it.each([
    ["the key file of this machine's server", "0123456789abcdef", "local"],
    ["a key that was made", "stk_abc", ""],
    ["an identity provider's token", "eyJh.eyJp.c2ln-_", ""],
  ])("looks names up where %s opens, through a forwarded port too", async (_name, apiKey, org) => {
    const asked: string[] = [];
    const routes = (router: ConnectRouter): void => {
      router.service(AgentQueryController, {
        getByReference: (reference) => {
          asked.push(reference.org);
          return {};
        },
      });
    };
    const client = await serve(routes, apiKey);
    await client.agents.getByReference({ slug: "doc" });
    expect(asked).toEqual([org]);
  });

  it("names the resource and the server's reason", async () => {
    const client = await serve((router) => {
      router.service(AgentCommandController, {
        apply: () => {
          throw new ConnectError("spec.instructions: too short", Code.InvalidArgument);
        },
      });
    });
    const apply = client.agents.apply(create(AgentSchema, { metadata: { name: "Doc", slug: "doc" } }));
    await expect(apply).rejects.toMatchObject({
      code: "invalid-argument",
      message: 'agent "doc": spec.instructions: too short',
    });
  });

  it("refuses an empty id before it calls", async () => {
    using client = createClient({ endpoint: "127.0.0.1:1", apiKey: "k" });
    const refused = (message: string): object => ({ code: "invalid-argument", message });
    await expect(client.sessions.get("")).rejects.toMatchObject(refused("session_id cannot be empty"));
    await expect(client.agents.get("")).rejects.toMatchObject(refused("agent_id cannot be empty"));
    await expect(client.executions.pause("")).rejects.toMatchObject(refused("execution_id cannot be empty"));
    await expect(client.executions.resume("")).rejects.toMatchObject(refused("execution_id cannot be empty"));
    await expect(client.executions.sendMessage("", "hi")).rejects.toMatchObject(
      refused("execution_id cannot be empty"),
    );
    await expect(client.executions.cancel("")).rejects.toMatchObject(refused("execution_id cannot be empty"));
    await expect(client.skills.getByReference({ slug: "" })).rejects.toMatchObject(
      refused("skill slug cannot be empty"),
    );
  });

  it("tries reads again while the server is away, writes never", async () => {
    let reads = 0;
    let writes = 0;
    const away = (): never => {
      throw new ConnectError("starting", Code.Unavailable);
    };
    const client = await serve((router) => {
      router.service(AgentQueryController, { get: () => ((reads += 1) < 3 ? away() : {}) });
      router.service(AgentExecutionCommandController, {
        cancel: () => {
          writes += 1;
          return away();
        },
      });
    });
    await client.agents.get("agt-1");
    expect(reads).toBe(3);
    await expect(client.executions.cancel("aex-1")).rejects.toMatchObject({ code: "unavailable" });
    expect(writes).toBe(1);
  });

  it("pauses a run, lets it go on, and says something to it", async () => {
    const seen: unknown[] = [];
    const client = await serve((router) => {
      router.service(AgentExecutionCommandController, {
        pause: ({ executionId, reason }) => {
          seen.push(["pause", executionId, reason]);
          return {};
        },
        resume: ({ executionId }) => {
          seen.push(["resume", executionId]);
          return {};
        },
        sendMessage: ({ executionId, messageId, text }) => {
          seen.push(["message", executionId, messageId, text]);
          if (text === "too late") throw new ConnectError("it has ended", Code.FailedPrecondition);
          return {};
        },
      });
    });
    await client.executions.pause("aex-1", "lunch");
    await client.executions.resume("aex-1");
    await client.executions.sendMessage("aex-1", "also the tests", { messageId: "m1" });
    await expect(client.executions.sendMessage("aex-1", "too late")).rejects.toMatchObject({
      code: "failed-precondition",
      message: "message to execution aex-1: it has ended",
    });
    expect(seen).toEqual([
      ["pause", "aex-1", "lunch"],
      ["resume", "aex-1"],
      ["message", "aex-1", "m1", "also the tests"],
      ["message", "aex-1", expect.stringMatching(/^msg-[0-9a-f]{32}$/), "too late"],
    ]);
  });

  it("says that a server is not there", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    using client = createClient({ endpoint: `127.0.0.1:${port}`, apiKey: "k" });
    await expect(client.executions.cancel("aex-1")).rejects.toMatchObject({ code: "unavailable" });
  });

  it("pushes a skill that is larger than gRPC's usual message limit", async () => {
    let bytes = 0;
    const client = await serve((router) => {
      router.service(SkillCommandController, {
        push: ({ artifact }) => {
          bytes = artifact.length;
          return {};
        },
      });
    });
    await client.skills.push({ name: "big", artifact: new Uint8Array(12 << 20) });
    expect(bytes).toBe(12 << 20);
  });
});

describe("endpoints", () => {
  it.each([
    ["localhost:50051", "http://localhost:50051"],
    ["api.example.com:443", "https://api.example.com:443"],
    ["https://api.example.com", "https://api.example.com"],
    ["http://[::1]:7", "http://[::1]:7"],
  ])("reads %s as %s", (endpoint, url) => expect(toBaseUrl(endpoint)).toBe(url));
});
