import { createServer as createHttp2 } from "node:http2";
import type { AddressInfo } from "node:net";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AgentExecutionCommandController, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import { RunnerController, ToolCallClass } from "@stigmer/protos/runner/v1";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createClient, type StigmerClient } from "./create-client.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  vi.useRealTimers();
  closers.splice(0).forEach((close) => close());
});

async function serve(routes: Parameters<typeof connectNodeAdapter>[0]["routes"]): Promise<StigmerClient> {
  const server = createHttp2(connectNodeAdapter({ routes }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = createClient({ endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`, apiKey: "k" });
  closers.push(() => {
    client.close();
    server.close();
  });
  return client;
}

const intent = {
  executionId: "aex-1",
  fence: 3,
  callKey: "m1/t1",
  toolName: "execute",
  toolClass: ToolCallClass.ONCE,
  requestId: "r1",
};

describe("a runner's client", () => {
  it("introduces itself", async () => {
    const client = await serve((router) => {
      router.service(RunnerController, {
        hello: ({ runnerId, version, protocol }) => ({
          version: `${runnerId} ${version}`,
          protocol,
          engine: "embedded",
        }),
      });
    });
    expect(await client.runner.hello({ runnerId: "r", version: "1.2.3", protocol: 1 })).toMatchObject({
      version: "r 1.2.3",
      protocol: 1,
      engine: "embedded",
    });
  });

  it("writes intents and results under the fence", async () => {
    const seen: unknown[] = [];
    const client = await serve((router) => {
      router.service(RunnerController, {
        beginToolCall: ({ executionId, fence, callKey, toolName, toolClass, requestId }) => {
          seen.push({ executionId, fence, callKey, toolName, toolClass, requestId });
          return { outcome: { case: "recorded", value: { result: Uint8Array.of(1, 2) } } };
        },
        finishToolCall: ({ executionId, fence, callKey, result }) => {
          seen.push({ executionId, fence, callKey, result: [...result] });
          return {};
        },
      });
    });
    expect(await client.runner.beginToolCall(intent)).toMatchObject({
      case: "recorded",
      value: { result: Uint8Array.of(1, 2) },
    });
    await client.runner.finishToolCall({ executionId: "aex-1", fence: 3, callKey: "m1/t1", result: Uint8Array.of(7) });
    expect(seen).toEqual([intent, { executionId: "aex-1", fence: 3, callKey: "m1/t1", result: [7] }]);
  });

  it("tells an old fence, an older server and a server that is away apart, and repeats nothing", async () => {
    let calls = 0;
    const answers = [Code.FailedPrecondition, Code.Unimplemented, Code.Unavailable];
    const client = await serve((router) => {
      router.service(RunnerController, {
        beginToolCall: () => {
          throw new ConnectError("no", answers[calls++]);
        },
      });
    });
    for (const code of ["failed-precondition", "unimplemented", "unavailable"]) {
      await expect(client.runner.beginToolCall(intent)).rejects.toMatchObject({
        code,
        message: "tool call m1/t1 of execution aex-1: no",
      });
    }
    expect(calls).toBe(3);
    // A method that the server does not have at all.
    await expect(client.runner.hello({ runnerId: "r", version: "", protocol: 1 })).rejects.toMatchObject({
      code: "unimplemented",
    });
  });

  it("asks under the fence what a run is made from, again while the server is away", async () => {
    const headers: (string | null)[] = [];
    const client = await serve((router) => {
      router.service(RunnerController, {
        resolveRun: ({ executionId }, { requestHeader }) => {
          headers.push(requestHeader.get("stigmer-fence"));
          if (headers.length === 1) throw new ConnectError("shutting down", Code.Unavailable);
          return { execution: { metadata: { id: executionId } } };
        },
      });
    });
    const run = { executionId: "aex-1", fence: 3 };
    expect(await client.runner.resolveRun(run)).toMatchObject({ execution: { metadata: { id: "aex-1" } } });
    expect(headers).toEqual(["aex-1/3", "aex-1/3"]);
    await expect(client.runner.resolveRun({ ...run, executionId: "" })).rejects.toMatchObject({
      message: "execution_id cannot be empty",
    });
  });

  it("asks a server that does not know that but once in a while, whatever run it is for", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    let calls = 0;
    const client = await serve((router) => {
      router.service(RunnerController, {
        resolveRun: () => {
          calls += 1;
          throw new ConnectError("no such method", Code.Unimplemented);
        },
      });
    });
    for (const executionId of ["aex-1", "aex-2"]) {
      expect(await client.runner.resolveRun({ executionId, fence: 1 })).toBeUndefined();
    }
    expect(calls).toBe(1);
    vi.setSystemTime(Date.now() + 60_001);
    expect(await client.runner.resolveRun({ executionId: "aex-3", fence: 1 })).toBeUndefined();
    expect(calls).toBe(2);
  });

  it("ends a lease with the change that ends its run, where the server says so", async () => {
    const seen: string[] = [];
    let answers: "ended" | "patched" | "nothing" = "ended";
    const client = await serve((router) => {
      router.service(RunnerController, {
        async *recordRun(entries) {
          for await (const { number, entry, endsLeaseOf } of entries) {
            seen.push(`${entry.case} ${endsLeaseOf}`);
            if (answers === "nothing") throw new ConnectError("shutting down", Code.Unavailable);
            yield { number, answer: { case: answers, value: { revision: 7 } } };
          }
        },
      });
      router.service(AgentExecutionCommandController, {
        patchStatus: ({ sequence }) => {
          seen.push(`patchStatus ${sequence}`);
          return { revision: 7 };
        },
      });
    });
    const patch = { executionId: "aex-1", fence: 3, sequence: 4, delta: create(StatusDeltaSchema) };
    using record = client.runner.recordRun();
    expect(await record.patchToEnd(patch, "r1")).toEqual({ revision: 7, leaseEnded: true });
    answers = "patched";
    expect(await record.patchToEnd(patch, "r1")).toEqual({ revision: 7, leaseEnded: false });
    expect(await record.patchStatus(patch)).toBe(7);
    // What became of the lease is not known then.
    answers = "nothing";
    expect(await record.patchToEnd(patch, "r1")).toEqual({ revision: 7, leaseEnded: false });
    expect(seen).toEqual(["patch r1", "patch r1", "patch ", "patch r1", "patchStatus 4"]);
  });

  it("gives a call up when told to", async () => {
    const client = await serve((router) => {
      router.service(RunnerController, { finishToolCall: () => new Promise(() => {}) });
    });
    const controller = new AbortController();
    const call = client.runner.finishToolCall({ ...intent, result: Uint8Array.of(1) }, controller.signal);
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: "cancelled" });
  });

  it("refuses an empty id before it calls", async () => {
    using client = createClient({ endpoint: "127.0.0.1:1", apiKey: "k" });
    const refused = { code: "invalid-argument", message: "execution_id cannot be empty" };
    await expect(client.runner.beginToolCall({ ...intent, executionId: "" })).rejects.toMatchObject(refused);
    await expect(
      client.runner.finishToolCall({ ...intent, executionId: "", result: Uint8Array.of(1) }),
    ).rejects.toMatchObject(refused);
    await expect(client.runner.hello({ runnerId: "", version: "1", protocol: 1 })).rejects.toMatchObject({
      message: "runner_id cannot be empty",
    });
  });
});
