import { createServer } from "node:http";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { activeTrace, contextFrom, inSpan, isTraced, linkTo, readTraceparent, traceparentHere } from "./spans.ts";
import { startTracing, type Tracing } from "./tracing.ts";

const service = { serviceName: "test", version: "1" };
let directory: string;
let tracing: Tracing | undefined;

beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), "stigmer-tracing-"))));
afterAll(() => rm(directory, { recursive: true }));
afterEach(() => tracing?.close());

it("records nothing, and names no span, where nobody set it up", async () => {
  tracing = await startTracing(service);
  expect(isTraced()).toBe(false);
  const recorded = await inSpan({ scope: "s", name: "n" }, async (span) => {
    expect([traceparentHere(), activeTrace(), linkTo(`00-${"a".repeat(32)}-${"b".repeat(16)}-01`)]).toEqual([
      "",
      undefined,
      undefined,
    ]);
    return span.isRecording();
  });
  expect(recorded).toBe(false);
});

it("appends spans to a file that others can't read, as lines of OTLP JSON, also of two at once", async () => {
  const file = join(directory, "traces.jsonl");
  tracing = await startTracing({ ...service, file, resourceAttributes: { "deployment.environment.name": "lab" } });
  await inSpan({ scope: "s", name: "outer" }, async () => {
    const outer = traceparentHere();
    await inSpan({ scope: "s", name: "inner" }, async () => expect(traceparentHere()).not.toBe(outer));
    await inSpan({ scope: "s", name: "elsewhere", parent: contextFrom(outer) }, async () => {
      expect(activeTrace()?.traceId).toBe(outer.split("-")[1]);
    });
  });
  await tracing.close();
  const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
  const text = lines.map((line) => JSON.stringify(JSON.parse(line))).join("");
  for (const word of ["outer", "inner", "elsewhere", "lab"]) expect(text).toContain(`"${word}"`);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
});

it("says of a failure its kind alone", async () => {
  const file = join(directory, "failures.jsonl");
  tracing = await startTracing({ ...service, file });
  const failing = async (failure: Error): Promise<void> => {
    await expect(inSpan({ scope: "s", name: "fails" }, () => Promise.reject(failure))).rejects.toBe(failure);
  };
  await failing(Object.assign(new Error("the password is hunter2"), { code: "not-found" }));
  await failing(new TypeError("the password is hunter2"));
  await tracing.close();
  const text = await readFile(file, "utf8");
  expect(text).toContain('"not-found"');
  expect(text).toContain('"TypeError"');
  expect(text).not.toContain("hunter2");
});

it("sends spans to a collector with its headers, and loses them without a fuss when there is none", async () => {
  const asked: { url?: string; header?: unknown; body: string }[] = [];
  const collector = createServer((request, response) => {
    let body = "";
    request.on("data", (piece) => (body += String(piece)));
    request.on("end", () => {
      asked.push({ url: request.url, header: request.headers["x-key"], body });
      response.end("{}");
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/`;
  tracing = await startTracing({ ...service, otlp: { endpoint, headers: { "x-key": "k" } } });
  await inSpan({ scope: "s", name: "sent" }, async () => {});
  await tracing.close();
  expect(asked).toMatchObject([{ url: "/v1/traces", header: "k", body: expect.stringContaining('"sent"') }]);
  await new Promise((resolve) => collector.close(resolve));

  tracing = await startTracing({ ...service, otlp: { endpoint } });
  await inSpan({ scope: "s", name: "lost" }, async () => {});
  await tracing.close();
});

it("names a file that can't be written", async () => {
  const file = join(directory, "missing", "traces.jsonl");
  await expect(startTracing({ ...service, file })).rejects.toThrow(/^STIGMER_TRACES_FILE=.*ENOENT.*name another file$/);
});

it("takes of a stranger's header only what is well formed", () => {
  const good = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  expect(readTraceparent(good)).toBe(good);
  for (const bad of [null, "", `${good}\n`, `${good}-x`, good.replace("a", "0".repeat(1)) + "0", good.toUpperCase()]) {
    expect(readTraceparent(bad)).toBe("");
  }
  expect(readTraceparent(`00-${"0".repeat(32)}-${"b".repeat(16)}-01`)).toBe("");
});
