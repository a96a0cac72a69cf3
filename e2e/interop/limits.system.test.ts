// What is too large, too deep or broken: refused with a clear answer, cheaply, and without harm to others.
import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { at, idOf } from "./caller.ts";
import { openGrpcJs } from "./clients/grpc-js.ts";
import { contract } from "./contract.ts";
import { framed, openRawGrpc } from "./raw-grpc.ts";
import { methodOf } from "./wire-methods.ts";
import { EXECUTIONS, openWorld, PKG, type World } from "./world.ts";
import { skillZip } from "./zip.ts";

const MIB = 1024 * 1024;
const PUSH = `${PKG}.skill.v1.SkillCommandController/push`;
const ARTIFACT = `${PKG}.skill.v1.SkillQueryController/getArtifact`;
const GET = `${PKG}.agent.v1.AgentQueryController/get`;
const LIST = `${PKG}.agent.v1.AgentQueryController/list`;

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const push = (mebibytes: number): Readonly<Record<string, unknown>> & { artifact: Buffer } => ({
  name: "adding",
  scope: "organization",
  org: "local",
  artifact: skillZip("adding", [{ name: "data.bin", data: randomBytes(mebibytes * MIB) }]),
});

async function isWell(): Promise<void> {
  const { own } = world;
  expect(idOf(await own.call(GET, { value: idOf(await world.agent()) }))).toMatch(/^agt-/);
}

describe("large messages", () => {
  it("of 90 MB go in with a client's own limits, and out with its limit raised, while others are answered", async () => {
    const client = openGrpcJs(world);
    const request = push(90);
    const key = at(await client.call(PUSH, request), "status.artifactStorageKey");
    // What a client takes is its own affair: 4 MiB unless it says otherwise.
    await expect(client.call(ARTIFACT, { artifactStorageKey: key })).rejects.toMatchObject({
      code: "RESOURCE_EXHAUSTED",
    });
    client.close();
    const open = openGrpcJs({ ...world, channel: { "grpc.max_receive_message_length": -1 } });
    const getting = Promise.all([1, 2].map(() => open.call(ARTIFACT, { artifactStorageKey: key })));
    // On the same connection.
    for (let round = 0; round < 20; round++) expect(await open.call(LIST, {})).toBeTypeOf("object");
    for (const answer of await getting) {
      expect(Buffer.from(at(answer, "artifact"), "base64").equals(request.artifact)).toBe(true);
    }
    open.close();
  });

  it("of a skill beyond its limit are refused by the limit", async () => {
    const client = openGrpcJs(world);
    await expect(client.call(PUSH, push(101))).rejects.toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      message: expect.stringContaining("the limit is 104857600") as string,
    });
    client.close();
  });

  it("beyond all limits are refused before they have come", async () => {
    using raw = openRawGrpc(world);
    const head = Buffer.alloc(5);
    head.writeUInt32BE(0xff_ff_ff_ff, 1);
    const answer = await raw.send(PUSH, head);
    expect({ ...answer.headers, ...answer.trailers }).toMatchObject({
      "grpc-status": String(status.RESOURCE_EXHAUSTED),
      "grpc-message": expect.stringContaining("4294967295 is larger than") as string,
    });
    const response = await fetch(`http://${world.endpoint}/${PUSH}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${world.apiKey}` },
      body: Buffer.alloc(111 * MIB, " "),
    });
    expect([response.status, await response.json()]).toMatchObject([429, { code: "resource_exhausted" }]);
    await isWell();
  });

  it("that inflate beyond all limits are refused", async () => {
    using raw = openRawGrpc(world);
    const bomb = gzipSync(Buffer.alloc(400 * MIB));
    expect(bomb.length).toBeLessThan(MIB);
    const before = process.memoryUsage.rss();
    const answers = await Promise.all(
      [1, 2].map(() => raw.send(PUSH, framed(bomb, true), { "grpc-encoding": "gzip" })),
    );
    for (const answer of answers) {
      expect({ ...answer.headers, ...answer.trailers }).toMatchObject({
        "grpc-status": String(status.RESOURCE_EXHAUSTED),
        "grpc-message": expect.stringContaining("after decompression") as string,
      });
    }
    // Less than what one of them would have become.
    expect(process.memoryUsage.rss() - before).toBeLessThan(350 * MIB);
    const response = await fetch(`http://${world.endpoint}/${LIST}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "content-encoding": "gzip",
        authorization: `Bearer ${world.apiKey}`,
      },
      body: new Uint8Array(bomb),
    });
    expect([response.status, await response.json()]).toMatchObject([429, { code: "resource_exhausted" }]);
    await isWell();
  });
});

describe("broken messages", () => {
  // What gRPC's own servers answer for bytes that are no message of theirs.
  const unreadable = {
    "grpc-status": String(status.INTERNAL),
    "grpc-message": expect.stringMatching(/^parse binary: /) as string,
  };
  const deep = (levels: number): string => '{"a":'.repeat(levels) + "1" + "}".repeat(levels);

  it.each([
    ["no JSON", "{"],
    ["JSON of another shape", "[]"],
    ["a field that there is not", '{"no":1}'],
    ["a value of another type", '{"value":[1]}'],
    ["text that is no UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
    ["nothing", ""],
  ])("as %s are told so in JSON", async (_what, body) => {
    const response = await fetch(`http://${world.endpoint}/${GET}`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${world.apiKey}` },
      body,
    });
    expect([response.status, await response.json()]).toMatchObject([400, { code: "invalid_argument" }]);
  });

  it.each([
    ["a field cut short", Buffer.from([0x0a, 0x05, 0x61])],
    ["an endless number", Buffer.alloc(20, 0xff)],
    ["text that is no UTF-8", Buffer.from([0x0a, 0x02, 0xff, 0xfe])],
    ["a group that does not end", Buffer.from([0x0b, 0x0b, 0x0b])],
  ])("as %s are told so in gRPC", async (_what, bytes) => {
    using raw = openRawGrpc(world);
    const answer = await raw.send(GET, framed(bytes));
    expect({ ...answer.headers, ...answer.trailers }).toMatchObject(unreadable);
    await isWell();
  });

  it("as gzip that is none, or a frame cut short, are told so", async () => {
    using raw = openRawGrpc(world);
    for (const body of [
      framed(Buffer.from("no gzip"), true),
      framed(Buffer.alloc(8)).subarray(0, 7),
      Buffer.alloc(3),
    ]) {
      const answer = await raw.send(GET, body, { "grpc-encoding": "gzip" });
      expect({ ...answer.headers, ...answer.trailers }).toMatchObject({
        "grpc-status": String(status.INVALID_ARGUMENT),
      });
    }
    await isWell();
  });

  it.each([50_000, 1_000_000])("that are %i levels deep are refused", async (levels) => {
    const id = idOf(await world.run());
    const body = `{"executionId":"${id}","status":{"messages":[{"type":"MESSAGE_AI","metadata":${deep(levels)}}]}}`;
    const response = await fetch(`http://${world.endpoint}/${EXECUTIONS}/updateStatus`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${world.apiKey}` },
      body,
    });
    expect([response.status, await response.json()]).toMatchObject([400, { code: "invalid_argument" }]);
    await isWell();
  });

  it("that are deep in binary are refused", async () => {
    using raw = openRawGrpc(world);
    // Struct { fields { "a": Value { struct_value … } } }, from the inside out.
    let inner = Buffer.alloc(0);
    const tagged = (tag: number, data: Buffer): Buffer =>
      Buffer.concat([Buffer.from([tag, ...varint(data.length)]), data]);
    for (let level = 0; level < 2_000; level++) {
      inner = tagged(
        0x0a,
        Buffer.concat([Buffer.from([0x0a, 0x01, 0x61]), tagged(0x12, tagged(0x2a, inner))]),
      ) as Buffer<ArrayBuffer>;
    }
    const message = tagged(0x2a, inner);
    const request = Buffer.concat([
      tagged(0x0a, Buffer.from(idOf(await world.run()))),
      tagged(0x12, tagged(0x0a, message)),
    ]);
    const answer = await raw.send(`${EXECUTIONS}/updateStatus`, framed(request));
    expect({ ...answer.headers, ...answer.trailers }).toMatchObject(unreadable);
    await isWell();
  });
});

describe("what is no call", () => {
  it.each([
    ["another method of HTTP", { method: "PUT" }, 405],
    ["a type that nobody speaks", { method: "POST", headers: { "content-type": "text/xml" }, body: "<a/>" }, 415],
  ])("as %s is told so", async (_what, init, code) => {
    expect((await fetch(`http://${world.endpoint}/${GET}`, init)).status).toBe(code);
  });

  it("as a path of nothing is told so", async () => {
    expect((await fetch(`http://${world.endpoint}/favicon.ico`)).status).toBe(404);
    expect(methodOf(contract, GET).path).toBe(`/${GET}`);
  });
});

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let left = value; ; left >>>= 7) {
    if (left < 0x80) return [...bytes, left];
    bytes.push((left & 0x7f) | 0x80);
  }
}
