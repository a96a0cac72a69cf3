import { mkdtemp, rm } from "node:fs/promises";
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentCommandController } from "@stigmer/protos/agent/v1";
import {
  AgentExecutionCommandController,
  type WatchAgentExecutionEvent,
  WatchAgentExecutionEventSchema,
  WatchAgentExecutionRequestSchema,
} from "@stigmer/protos/agentexecution/v1";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type RunningServer, startServer } from "../start-server.ts";

let home: string;
let server: RunningServer;
let session: ClientHttp2Session;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-stalled-"));
  server = await startServer({ home, port: 0 });
  session = connect(`http://${server.endpoint}`);
});
afterEach(async () => {
  session.destroy();
  await server.close();
  await rm(home, { recursive: true, force: true });
});

function transport(): Transport {
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${server.apiKey}`);
    return next(request);
  };
  return createGrpcTransport({ baseUrl: `http://${server.endpoint}`, interceptors: [authorize] });
}

/** Asks to follow a run, by hand: what comes stays in the network until somebody reads. */
function watch(executionId: string): ClientHttp2Stream {
  const request = toBinary(WatchAgentExecutionRequestSchema, create(WatchAgentExecutionRequestSchema, { executionId }));
  const envelope = Buffer.alloc(5);
  envelope.writeUInt32BE(request.length, 1);
  const stream = session.request({
    ":method": "POST",
    ":path": "/ai.stigmer.agentic.agentexecution.v1.AgentExecutionQueryController/watch",
    "content-type": "application/grpc+proto",
    te: "trailers",
    authorization: `Bearer ${server.apiKey}`,
  });
  stream.end(Buffer.concat([envelope, request]));
  return stream;
}

async function eventsOf(stream: ClientHttp2Stream): Promise<WatchAgentExecutionEvent[]> {
  const bytes = Buffer.concat(await stream.toArray());
  const events: WatchAgentExecutionEvent[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    events.push(fromBinary(WatchAgentExecutionEventSchema, bytes.subarray(at + 5, end)));
    at = end;
  }
  return events;
}

it("keeps for a client that does not read no more than fits the network, and tells it the rest as one", async () => {
  const agents = createClient(AgentCommandController, transport());
  const executions = createClient(AgentExecutionCommandController, transport());
  const resource = { apiVersion: "agentic.stigmer.ai/v1", metadata: { name: "a" } };
  const agent = await agents.apply({ ...resource, kind: "Agent", spec: { instructions: "Answer in few words." } });
  const spec = { agentId: agent.metadata?.id, message: "Hello" };
  const run = await executions.create({ ...resource, kind: "AgentExecution", spec });
  const executionId = run.metadata?.id ?? "";

  const stalled = watch(executionId);
  await new Promise((resolve) => stalled.once("response", resolve));
  const changes = 300;
  for (let index = 1; index <= changes; index++) {
    const messages = [{ content: String(index % 10).repeat(20_000) }];
    await executions.updateStatus({ executionId, status: { messages, phase: index === changes ? 3 : 2 } });
  }

  const events = await eventsOf(stalled);
  // 6 MB were said. In the network are 64 KiB and what Node keeps before it asks for a pause.
  expect(events.length).toBeLessThan(30);
  expect(events.at(-1)).toMatchObject({ revision: changes + 1, event: { case: "snapshot" } });
  expect(events.map(({ revision }) => revision)).toEqual(
    events.map(({ revision }) => revision).toSorted((a, b) => a - b),
  );
});
