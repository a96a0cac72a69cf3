import { join } from "node:path";
import { Script, createContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { rolldown, type OutputChunk } from "rolldown";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPlatform, type Platform } from "./__fixtures__/platform.ts";
import type * as web from "./web.ts";

// What a page has, and nothing of Node: what the bundle needs beyond this is an error.
const WEB_GLOBALS = {
  AbortController,
  AbortSignal,
  ArrayBuffer,
  DataView,
  DOMException,
  Error,
  Headers,
  Request,
  Response,
  ReadableStream,
  TextDecoder,
  TextEncoder,
  TransformStream,
  TypeError,
  Uint8Array,
  Uint32Array,
  URL,
  WritableStream,
  clearTimeout,
  console,
  crypto,
  fetch,
  performance,
  setTimeout,
} as const;

/** Kilobytes that the bundle may have, minified and gzipped; the README says so. */
const MOST_KB = 85;

let chunk: OutputChunk;
let page: typeof web;
let platform: Platform;
beforeAll(async () => {
  const build = await rolldown({
    input: join(import.meta.dirname, "web.ts"),
    platform: "browser",
    resolve: { conditionNames: ["@stigmer/source", "browser", "import", "default"] },
    onLog: (level, { message }) => {
      if (level === "warn") throw new Error(message);
    },
  });
  const { output } = await build.generate({ format: "iife", name: "stigmer", minify: true });
  await build.close();
  expect(output).toHaveLength(1);
  chunk = output[0];
  const context = createContext({ ...WEB_GLOBALS });
  new Script(`${chunk.code};globalThis.stigmer = stigmer`).runInContext(context);
  page = (context as { stigmer: typeof web }).stigmer;
  platform = await startPlatform();
});
afterAll(() => platform[Symbol.asyncDispose]());

function connect(options: Partial<web.WebClientOptions> = {}): web.ResourceClients {
  const { endpoint, apiKey } = platform.server;
  return page.createWebClient({ baseUrl: `http://${endpoint}`, apiKey, ...options });
}

describe("the bundle for browsers", () => {
  it("has nothing of Node, and only what pages need", () => {
    expect([...chunk.imports, ...chunk.dynamicImports]).toEqual([]);
    expect(chunk.moduleIds.length).toBeGreaterThan(50);
    expect(chunk.moduleIds.filter((id) => /connect-node|node:|status-sender|\/runner\//.test(id))).toEqual([]);
    expect(gzipSync(chunk.code).length).toBeLessThan(MOST_KB * 1024);
  });

  it.each(["connect", "grpc-web"] as const)("applies, lists, runs and watches over %s", async (protocol) => {
    const client = connect({ protocol });
    const agent = await client.agents.apply({ name: `Over ${protocol}`, instructions: "Greet whoever comes." });
    expect((await Array.fromAsync(client.agents.list())).map(({ metadata }) => metadata?.id)).toContain(
      agent.metadata?.id,
    );
    const run = client.executions.run({ agent: `over-${protocol}`, message: "Hello, page" });
    let text = "";
    for await (const update of run) text += update.text;
    expect(text).toBe("You said: Hello, page");
    expect(await run.result()).toMatchObject({ phase: "completed", output: text });
    await expect(client.agents.apply({ name: "x", instructions: "no" })).rejects.toMatchObject({
      code: "invalid-argument",
      violations: [{ field: "spec.instructions", ruleId: "string.min_len" }],
    });
  });

  it.each(["connect", "grpc-web"] as const)("goes on watching over %s after its server's restart", async (protocol) => {
    const client = connect({ protocol });
    await client.agents.apply({ name: "Patient", instructions: "Wait for whoever comes." });
    const waits: string[] = [];
    const run = client.executions.run({
      agent: "patient",
      message: "wait a little",
      onReconnect: ({ code }) => waits.push(code),
    });
    let text = "";
    const revisions: number[] = [];
    for await (const update of run) {
      const before = text;
      text += update.text;
      revisions.push(update.revision);
      if (!before.includes("little") && text.includes("little")) {
        await platform.restart();
        await run.sendMessage("go on");
      }
    }
    expect(text).toBe("You said: wait a little\n\nHeard: go on");
    expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
    expect(new Set(waits)).toEqual(new Set(["unavailable"]));
  });

  it("tells a server that is not there, and a key that is wrong", async () => {
    const away = connect({ baseUrl: "http://127.0.0.1:1" });
    await expect(away.executions.cancel("aex-1")).rejects.toMatchObject({ code: "unavailable", retryable: true });
    await expect(connect({ apiKey: "wrong" }).agents.list()).rejects.toMatchObject({ code: "unauthenticated" });
    await expect(connect({ apiKey: undefined }).agents.list()).rejects.toMatchObject({ code: "unauthenticated" });
  });

  it("uses the fetch that it is given", async () => {
    const asked: string[] = [];
    const client = connect({
      fetch: (input, init) => {
        asked.push(String(input));
        return fetch(input, init);
      },
    });
    await client.sessions.list();
    expect(asked).toEqual([
      `http://${platform.server.endpoint}/ai.stigmer.agentic.session.v1.SessionQueryController/list`,
    ]);
  });
});
