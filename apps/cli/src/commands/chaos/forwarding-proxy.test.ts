import { constants, createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { ClientError, createClient, type StigmerClient } from "@stigmer/client";
import { AgentExecutionSchema, ExecutionPhase, StatusDeltaSchema } from "@stigmer/protos/agentexecution/v1";
import {
  BeginToolCallRequestSchema,
  type RunAnswerSchema,
  RunnerController,
  ToolCallClass,
} from "@stigmer/protos/runner/v1";
import { afterEach, describe, expect, test } from "vitest";
import { startLocalServer } from "../../__fixtures__/local-server.ts";
import { type Gatekeeper, type PassingCall, startForwardingProxy } from "./forwarding-proxy.ts";
import { namePoint } from "./durable-points.ts";
import { joinFrames } from "./grpc-frames.ts";
import { createRecorder } from "./recorder.ts";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const passAll: Gatekeeper = { reads: () => false, onRequest: async () => "pass", onAnswer: async () => "pass" };

async function connectThrough(upstreamPort: number, gatekeeper: Partial<Gatekeeper> = {}): Promise<StigmerClient> {
  const proxy = await startForwardingProxy({ upstreamPort, gatekeeper: { ...passAll, ...gatekeeper } });
  const client = createClient({ endpoint: `127.0.0.1:${proxy.port}`, apiKey: "key", timeoutMs: 10_000 });
  closers.push(() => proxy.close());
  closers.push(() => client.close());
  return client;
}

const intent = {
  executionId: "aex-1",
  fence: 1,
  callKey: "m/t",
  toolName: "execute",
  toolClass: ToolCallClass.ONCE,
  requestId: "r-1",
};

/** A gRPC server that a test answers for, stream by stream. */
async function serve(answer: (stream: ServerHttp2Stream, headers: Record<string, unknown>) => void): Promise<{
  readonly port: number;
  readonly server: Http2Server;
}> {
  const server = createServer();
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => {});
    stream.resume();
    answer(stream, headers);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, server };
}

function reply(stream: ServerHttp2Stream, status: string, message?: Uint8Array): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": status, "grpc-message": "because" }));
  if (message === undefined) stream.end();
  else stream.end(joinFrames(message));
}

describe("in front of a real server", () => {
  test("calls, streams, errors and keys go through as without it", { timeout: 60_000 }, async () => {
    await using server = await startLocalServer();
    const calls: string[] = [];
    const proxy = await startForwardingProxy({
      upstreamPort: Number(server.endpoint.split(":")[1]),
      gatekeeper: { ...passAll, onRequest: async ({ method }) => (calls.push(method), "pass") },
    });
    closers.push(() => proxy.close());
    const through = (args: string[], stdin?: string): Promise<{ code: number; out: string; err: string }> =>
      server.start(args, { env: { STIGMER_BACKEND_ENDPOINT: `127.0.0.1:${proxy.port}` }, stdin }).done;
    const agent =
      "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: { name: a }\nspec: { instructions: Do what is asked. }\n";
    expect(await through(["apply", "-f", "-"], agent)).toMatchObject({ code: 0 });
    await server.runner(async (report) => {
      await report({ change: { case: "messageStarted", value: { messageId: "m", type: 2 } } });
      await report({ change: { case: "textAppended", value: { messageId: "m", kind: 1, text: "Done.\n" } } });
      await report({ change: { case: "run", value: { phase: 3 } } });
    });
    expect(await through(["run", "a", "go"])).toMatchObject({ code: 0, out: "Done.\n" });
    expect(calls).toEqual(expect.arrayContaining(["apply", "create", "watch"]));
    const missing = await through(["get", "agent", "b"]);
    expect(missing).toEqual(await server.cli("get", "agent", "b"));
    const wrongKey = await server.start(["list", "agents"], {
      env: { STIGMER_BACKEND_ENDPOINT: `127.0.0.1:${proxy.port}`, STIGMER_API_KEY: "wrong" },
    }).done;
    expect(wrongKey.err).toContain("refuses the key");
  });
});

test("headers, deadline, error and trailers are kept", async () => {
  let seen: Record<string, unknown> = {};
  const { port } = await serve((stream, headers) => {
    seen = headers;
    reply(stream, "9");
  });
  const client = await connectThrough(port);
  const error: unknown = await client.runner.beginToolCall(intent).catch((caught: unknown) => caught);
  expect(ClientError.is(error) && error.code).toBe("failed-precondition");
  expect(String(error)).toContain("because");
  expect(seen).toMatchObject({
    ":path": "/ai.stigmer.agentic.runner.v1.RunnerController/beginToolCall",
    authorization: "Bearer key",
    "grpc-timeout": expect.stringMatching(/^\d+m$/) as string,
  });
});

test("a call is held before the server gets it, and dropped when it shall not", async () => {
  let reached = 0;
  const { port } = await serve((stream) => {
    reached += 1;
    reply(stream, "0", new Uint8Array());
  });
  const gate = Promise.withResolvers<"pass">();
  const held: PassingCall[] = [];
  const client = await connectThrough(port, {
    onRequest: (call) => {
      held.push(call);
      return held.length === 1 ? gate.promise : Promise.resolve("drop");
    },
  });
  const answer = client.runner.finishToolCall({
    executionId: "aex-1",
    fence: 1,
    callKey: "m/t",
    result: new Uint8Array(),
  });
  await expect.poll(() => held.length).toBe(1);
  expect(reached).toBe(0);
  gate.resolve("pass");
  await answer;
  expect(reached).toBe(1);
  let ended = false;
  const lost = client.runner.beginToolCall(intent).then(
    () => (ended = true),
    () => (ended = true),
  );
  await expect.poll(() => held.length).toBe(2);
  expect(fromBinary(BeginToolCallRequestSchema, held[1]?.request ?? new Uint8Array())).toMatchObject(intent);
  expect([reached, ended]).toEqual([1, false]);
  client.close();
  await lost;
});

test("an answer is held after the server gave it, also for as long as a restart takes", async () => {
  let reached = 0;
  const { port } = await serve((stream) => {
    reached += 1;
    reply(stream, "0", new Uint8Array());
  });
  const gate = Promise.withResolvers<"pass">();
  let messages = 0;
  const client = await connectThrough(port, {
    reads: (method) => method === "finishToolCall",
    onAnswer: () => {
      messages += 1;
      return gate.promise;
    },
  });
  let ended = false;
  const answer = client.runner
    .finishToolCall({ executionId: "aex-1", fence: 1, callKey: "m/t", result: new Uint8Array() })
    .then(() => (ended = true));
  await expect.poll(() => messages).toBe(1);
  // The server's side of the stream is over by now.
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect([reached, ended]).toEqual([1, false]);
  gate.resolve("pass");
  await answer;
});

test("the death of the server breaks the connection, and its absence refuses a new one", async () => {
  const { port, server } = await serve((stream) => {
    const socket = stream.session?.socket;
    server.close();
    socket?.destroy();
    stream.session?.destroy();
  });
  const client = await connectThrough(port);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const error: unknown = await client.runner.beginToolCall(intent).catch((caught: unknown) => caught);
    expect(ClientError.is(error) && error.code).toBe("unavailable");
  }
});

test("the death of the caller is the server's to see", async () => {
  const gone = Promise.withResolvers<number>();
  const { port } = await serve((stream) => stream.once("close", () => gone.resolve(stream.rstCode)));
  const client = await connectThrough(port);
  const call = client.runner.beginToolCall(intent).catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 100));
  client.close();
  expect(await gone.promise).not.toBe(constants.NGHTTP2_NO_ERROR);
  await call;
});

test("an error that is told by headers alone stays one", async () => {
  const { port } = await serve((stream) =>
    stream.respond(
      { ":status": 200, "content-type": "application/grpc+proto", "grpc-status": "5", "grpc-message": "nothing" },
      { endStream: true },
    ),
  );
  const client = await connectThrough(port);
  const error: unknown = await client.executions.create({ ...emptyExecution() }).catch((caught: unknown) => caught);
  expect(ClientError.is(error) && error.code).toBe("not-found");
});

function emptyExecution(): Parameters<StigmerClient["executions"]["create"]>[0] {
  return { $typeName: AgentExecutionSchema.typeName, apiVersion: "", kind: "", traceparent: "" };
}

test.each(["patched", "ended"] as const)(
  "calls that a stream carries are stopped each by itself, and told to the recorder as what they are, a status that was %s too",
  async (patched) => {
    const reached: string[] = [];
    const { port } = await serveConnect((router) => {
      router.service(RunnerController, {
        async *recordRun(entries): AsyncGenerator<MessageInitShape<typeof RunAnswerSchema>> {
          for await (const { number, entry } of entries) {
            reached.push(
              entry.case === "begin" || entry.case === "finish"
                ? `${entry.case} ${entry.value.callKey}`
                : `${entry.case}`,
            );
            const started = { outcome: { case: "started" as const, value: {} } };
            if (entry.case === "begin") yield { number, answer: { case: "begun" as const, value: started } };
            else if (entry.case === "patch") yield { number, answer: { case: patched, value: {} } };
            else if (entry.case === "remember")
              yield { number, answer: { case: "remembered", value: { sandboxId: entry.value.sandboxId } } };
            else yield { number, answer: { case: "finished" as const, value: {} } };
          }
        },
      });
    });
    const gate = Promise.withResolvers<void>();
    const recorder = createRecorder({
      onToolCall: async (callKey, moment) => (callKey === "held" && moment === "begin" ? gate.promise : undefined),
    });
    const client = await connectThrough(port, recorder.gatekeeper("runner"));
    const record = client.runner.recordRun();
    const held = record.beginToolCall({ ...intent, callKey: "held" });
    expect(await record.beginToolCall({ ...intent, callKey: "free" })).toMatchObject({ case: "started" });
    await record.finishToolCall({ executionId: "aex-1", fence: 1, callKey: "free", result: Uint8Array.of(1) });
    const changes = [{ change: { case: "run" as const, value: { phase: ExecutionPhase.EXECUTION_COMPLETED } } }];
    const delta = create(StatusDeltaSchema, { changes });
    await record.patchStatus({ executionId: "aex-1", fence: 1, sequence: 1, delta });
    const sandbox = { executionId: "aex-1", fence: 1, sandboxId: "docker:one", previousSandboxId: "" };
    expect(await record.rememberSandbox(sandbox)).toBe("docker:one");
    expect(reached).toEqual(["begin free", "finish free", "patch", "remember"]);
    gate.resolve();
    expect(await held).toMatchObject({ case: "started" });
    record.close();
    expect(recorder.points.map(namePoint)).toEqual([
      "before beginToolCall 1",
      "after beginToolCall 1",
      "before finishToolCall 1",
      "after finishToolCall 1",
      "before patchStatus(completed) 1",
      "after patchStatus(completed) 1",
      "before update 1",
      "after update 1",
      "before beginToolCall 2",
      "after beginToolCall 2",
    ]);
    expect(recorder.toolCalls().get("free")).toMatchObject({ tool: "execute", starts: 1 });
  },
);

test("a victim takes the calls with it that its stream carried", async () => {
  const { port, server } = await serveConnect((router) => {
    router.service(RunnerController, {
      async *recordRun(entries) {
        for await (const { number, entry } of entries)
          if (entry.case === "begin")
            yield { number, answer: { case: "begun", value: { outcome: { case: "started", value: {} } } } };
      },
    });
  });
  const recorder = createRecorder({
    strike: {
      point: { kind: "beginToolCall", ordinal: 2, side: "after" },
      victim: "server",
      kill: async () => void server.closeAllSessions(),
    },
  });
  const client = await connectThrough(port, recorder.gatekeeper("runner"));
  const record = client.runner.recordRun();
  await record.beginToolCall({ ...intent, callKey: "first" });
  // The stream broke with the server; the call that follows meets one that has no such method.
  await expect(record.beginToolCall({ ...intent, callKey: "second" })).rejects.toMatchObject({ name: "ClientError" });
  expect(recorder.struck).toBe(true);
  expect(recorder.openAtStrike).toEqual(["first", "second"]);
});

async function serveConnect(routes: (router: ConnectRouter) => void): Promise<{
  readonly port: number;
  readonly server: { closeAllSessions(): void };
}> {
  const sessions = new Set<{ destroy(): void }>();
  const server = createServer(connectNodeAdapter({ routes }));
  server.on("session", (session) => sessions.add(session));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const closeAllSessions = (): void => sessions.forEach((session) => session.destroy());
  closers.push(() => {
    closeAllSessions();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, server: { closeAllSessions } };
}
