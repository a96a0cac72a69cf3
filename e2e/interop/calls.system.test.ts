// What gRPC clients count on beside methods and messages: status, trailers, deadlines, cancellation, compression, keepalive.
import { once } from "node:events";
import { gunzipSync, gzipSync } from "node:zlib";
import { type ChannelOptions, Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import protobuf from "protobufjs";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Answer, at, idOf } from "./caller.ts";
import { keyOf, openGrpcJs } from "./clients/grpc-js.ts";
import { contract } from "./contract.ts";
import { framed, openRawGrpc } from "./raw-grpc.ts";
import { methodOf } from "./wire-methods.ts";
import { agentOf, EXECUTION_QUERIES, EXECUTIONS, openWorld, PKG, RUNNER, type World } from "./world.ts";

const AGENTS = `${PKG}.agent.v1.AgentCommandController`;
const AGENT_QUERIES = `${PKG}.agent.v1.AgentQueryController`;
const SUBSCRIBE = `${EXECUTION_QUERIES}/subscribe`;

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

interface CallOptions {
  readonly channel?: ChannelOptions;
  readonly metadata?: Metadata;
  readonly deadlineMs?: number;
}

/** One call on a channel of its own. Answers with the failure, as the library gives it. */
async function call(method: string, request: object, options: CallOptions = {}): Promise<Answer | ServiceError> {
  const client = new Client(world.endpoint, credentials.createInsecure(), options.channel);
  const { path, encode, decode } = methodOf(contract, method);
  const { metadata = keyOf(world.apiKey), deadlineMs } = options;
  try {
    return await new Promise((resolve) => {
      const deadline = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
      client.makeUnaryRequest(path, encode, decode, request, metadata, deadline, (error, answer) => {
        resolve((error ?? answer) as Answer | ServiceError);
      });
    });
  } finally {
    client.close();
  }
}

const encoded = (method: string, request: object): Buffer => methodOf(contract, method).encode(request);
const decoded = (method: string, bytes: Uint8Array): object => methodOf(contract, method).decode(bytes);

describe("a refusal", () => {
  // As its own .proto files have it, by number.
  const details = protobuf.parse(`
    syntax = "proto3";
    message Any { string type_url = 1; bytes value = 2; }
    message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
    message Element { int32 field_number = 1; string field_name = 2; }
    message FieldPath { repeated Element elements = 1; }
    message Violation { FieldPath field = 5; string rule_id = 2; string message = 3; }
    message Violations { repeated Violation violations = 1; }
  `).root;
  const read = (type: string, bytes: Uint8Array): Answer =>
    details.lookupType(type).toObject(details.lookupType(type).decode(bytes));

  it("carries each violation of the contract's rules, in words and for programs", async () => {
    const refusal = (await call(`${AGENTS}/create`, {
      apiVersion: "v1",
      kind: "Agent",
      metadata: { name: "a" },
      spec: { instructions: "short" },
    })) as ServiceError;
    expect(refusal.code).toBe(status.INVALID_ARGUMENT);
    // Without a percent sign: this library decodes no more than a URI.
    expect(refusal.details).toBe(
      'api_version: value must equal "agentic.stigmer.ai/v1"; spec.instructions: must be at least 10 characters',
    );
    const [bytes] = refusal.metadata.get("grpc-status-details-bin") as Buffer[];
    const whole = read("Status", bytes ?? Buffer.alloc(0));
    expect(whole).toMatchObject({ code: 3, message: refusal.details });
    const [any] = whole["details"] as { typeUrl: string; value: Buffer }[];
    expect(any?.typeUrl).toBe("type.googleapis.com/buf.validate.Violations");
    const { violations } = read("Violations", any?.value ?? Buffer.alloc(0)) as {
      violations: { field: { elements: { fieldName: string }[] }; ruleId: string; message: string }[];
    };
    expect(violations.map(({ field, ruleId }) => [field.elements.map(({ fieldName }) => fieldName), ruleId])).toEqual([
      [["api_version"], "string.const"],
      [["spec", "instructions"], "string.min_len"],
    ]);
  });

  it.each(["100 % of it: a/b;c?d#e", "größe 世界 🐋", 'quotes " and \\', "line\nbreak\ttab", " spaces at its ends "])(
    "says %j as it is",
    async (slug) => {
      const text = `agt-${slug}`;
      const refusal = (await call(`${AGENT_QUERIES}/get`, { value: text })) as ServiceError;
      expect(refusal.code).toBe(status.NOT_FOUND);
      expect(refusal.details).toContain(text);
    },
  );

  it("comes in trailers, with HTTP's own status a good one", async () => {
    using raw = openRawGrpc(world);
    const good = await raw.send(`${AGENT_QUERIES}/list`, framed(encoded(`${AGENT_QUERIES}/list`, {})));
    expect(good.headers).toMatchObject({
      ":status": 200,
      "content-type": expect.stringMatching(/^application\/grpc/) as string,
    });
    expect(good.trailers).toMatchObject({ "grpc-status": "0" });
    expect(good.messages).toHaveLength(1);
    const bad = await raw.send(`${AGENT_QUERIES}/get`, framed(encoded(`${AGENT_QUERIES}/get`, { value: "agt-a%3Ab" })));
    expect(bad.headers[":status"]).toBe(200);
    expect({ ...bad.headers, ...bad.trailers }).toMatchObject({
      "grpc-status": "5",
      "grpc-message": expect.stringContaining("agt-a%253Ab") as string,
    });
    expect(bad.messages).toEqual([]);
  });

  it("of a method that there is not is UNIMPLEMENTED, of a call without a key UNAUTHENTICATED", async () => {
    const client = new Client(world.endpoint, credentials.createInsecure());
    const refusal = await new Promise<ServiceError | null>((resolve) => {
      const same = (bytes: Buffer): Buffer => bytes;
      client.makeUnaryRequest(`/${AGENTS}/none`, same, same, Buffer.alloc(0), keyOf(world.apiKey), (error) =>
        resolve(error),
      );
    });
    client.close();
    expect(refusal?.code).toBe(status.UNIMPLEMENTED);
    for (const metadata of [new Metadata(), keyOf("wrong")]) {
      expect(await call(`${AGENT_QUERIES}/list`, {}, { metadata })).toMatchObject({ code: status.UNAUTHENTICATED });
    }
  });
});

describe("metadata", () => {
  it("may be of any case and kind", async () => {
    const metadata = keyOf(world.apiKey);
    metadata.set("X-Request-ID", "r1");
    metadata.set("trace-bin", Buffer.from([0, 255, 10]));
    expect(await call(`${AGENT_QUERIES}/list`, {}, { metadata })).not.toBeInstanceOf(Error);
  });
});

describe("a deadline", () => {
  it("ends a quiet stream at the client", async () => {
    const id = idOf(await world.run());
    const client = new Client(world.endpoint, credentials.createInsecure());
    const { path, encode, decode } = methodOf(contract, SUBSCRIBE);
    const deadline = { deadline: Date.now() + 1_500 };
    const stream = client.makeServerStreamRequest(path, encode, decode, { value: id }, keyOf(world.apiKey), deadline);
    const answers: unknown[] = [];
    stream.on("data", (answer) => answers.push(answer));
    const [error] = (await once(stream, "error")) as [ServiceError];
    client.close();
    expect(error.code).toBe(status.DEADLINE_EXCEEDED);
    expect(answers).toHaveLength(1);
  });

  it("is held by the server, also for a client that does not look at its watch", async () => {
    using raw = openRawGrpc(world);
    const id = idOf(await world.run());
    const answer = await raw.send(SUBSCRIBE, framed(encoded(SUBSCRIBE, { value: id })), { "grpc-timeout": "300m" });
    expect(answer.messages).toHaveLength(1);
    expect(answer.trailers).toMatchObject({ "grpc-status": String(status.DEADLINE_EXCEEDED) });
  });

  it("that is none is refused", async () => {
    using raw = openRawGrpc(world);
    const body = framed(encoded(`${AGENT_QUERIES}/list`, {}));
    const answer = await raw.send(`${AGENT_QUERIES}/list`, body, { "grpc-timeout": "soon" });
    expect({ ...answer.headers, ...answer.trailers }).toMatchObject({ "grpc-status": String(status.INVALID_ARGUMENT) });
  });
});

describe("a client that cancels", () => {
  it("is let go", async () => {
    const client = openGrpcJs(world);
    const leases = client.stream(`${RUNNER}/takeLeases`, { runnerId: "r1", taskQueue: "no-such", maxConcurrency: 1 });
    await leases.next();
    const runners = async (): Promise<number> => (await world.metrics()).runners.length;
    expect(await runners()).toBe(1);
    await leases.return();
    await vi.waitFor(async () => expect(await runners()).toBe(0), { timeout: 30_000, interval: 50 });
    client.close();
  });

  it("many times in a row keeps its connection", async () => {
    const id = idOf(await world.run());
    const client = openGrpcJs(world);
    for (let round = 0; round < 200; round++) {
      const stream = client.stream(SUBSCRIBE, { value: id });
      await stream.next();
      await stream.return();
    }
    expect(idOf(await client.call(`${EXECUTION_QUERIES}/get`, { value: id }))).toBe(id);
    client.close();
  });
});

describe("compression", () => {
  const long = "Answer in few words. ".repeat(500);

  it("of requests and answers by gzip is understood", async () => {
    const channel = { "grpc.default_compression_algorithm": 2 };
    const made = await call(`${AGENTS}/apply`, agentOf("Wordy", { instructions: long }), { channel });
    expect(made).toMatchObject({ spec: { instructions: long } });
    using raw = openRawGrpc(world);
    const request = encoded(`${AGENT_QUERIES}/get`, { value: idOf(made) });
    const answer = await raw.send(`${AGENT_QUERIES}/get`, framed(gzipSync(request), true), {
      "grpc-encoding": "gzip",
      "grpc-accept-encoding": "gzip",
    });
    expect(answer.headers["grpc-encoding"]).toBe("gzip");
    const [message] = answer.messages;
    expect(message?.flags).toBe(1);
    expect(decoded(`${AGENT_QUERIES}/get`, gunzipSync(message?.data ?? ""))).toMatchObject({
      spec: { instructions: long },
    });
    expect(message?.data.length).toBeLessThan(2_000);
  });

  it("by what the server does not know is UNIMPLEMENTED, and it says what it knows", async () => {
    using raw = openRawGrpc(world);
    const answer = await raw.send(`${AGENT_QUERIES}/list`, framed(Buffer.from("?"), true), {
      "grpc-encoding": "snappy",
    });
    expect({ ...answer.headers, ...answer.trailers }).toMatchObject({
      "grpc-status": String(status.UNIMPLEMENTED),
      "grpc-message": 'unknown compression "snappy": supported encodings are gzip,br',
    });
  });
});

describe("a connection", () => {
  it("carries hundreds of streams, and calls beside them", async () => {
    const id = idOf(await world.run());
    const client = openGrpcJs({ ...world, channel: { "grpc.use_local_subchannel_pool": 1 } });
    const streams = Array.from({ length: 300 }, () => client.stream(SUBSCRIBE, { value: id }));
    await Promise.all(streams.map((stream) => stream.next()));
    await world.own.call(`${EXECUTIONS}/updateStatus`, { executionId: id, status: { phase: "EXECUTION_COMPLETED" } });
    const ends = await Promise.all(streams.map((stream) => Array.fromAsync(stream)));
    expect(ends.map((rest) => at(rest.at(-1), "status.phase"))).toEqual(Array(300).fill("EXECUTION_COMPLETED"));
    expect(idOf(await client.call(`${EXECUTION_QUERIES}/get`, { value: id }))).toBe(id);
    client.close();
  });

  it("that is kept alive by pings outlives silence", async () => {
    const id = idOf(await world.run());
    const client = openGrpcJs({
      ...world,
      channel: {
        "grpc.keepalive_time_ms": 100,
        "grpc.keepalive_timeout_ms": 20_000,
        "grpc.keepalive_permit_without_calls": 1,
      },
    });
    const stream = client.stream(SUBSCRIBE, { value: id });
    await stream.next();
    using raw = openRawGrpc(world);
    await once(raw.session, "connect");
    // Answered pings tell that time went by in which the other connection sent its own.
    for (let ping = 0; ping < 20; ping++) {
      await new Promise<void>((resolve, reject) => {
        raw.session.ping((error) => (error ? reject(error) : setTimeout(resolve, 50)));
      });
    }
    await world.own.call(`${EXECUTIONS}/updateStatus`, { executionId: id, status: { phase: "EXECUTION_CANCELLED" } });
    const rest = await Array.fromAsync(stream);
    expect(at(rest.at(-1), "status.phase")).toBe("EXECUTION_CANCELLED");
    client.close();
  });
});
