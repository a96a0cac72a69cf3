import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { listOllamaModels, probeOllama } from "./ollama.ts";

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise((listening) => server.once("listening", listening));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const tags = JSON.stringify({ models: [{ name: "qwen2.5-coder:7b", size: 1 }, { name: "llama3:latest" }] });

test("an Ollama tells its models, also behind a path", async () => {
  const asked: (string | undefined)[] = [];
  const url = await serve((request, response) => {
    asked.push(request.url);
    response.end(tags);
  });
  expect(await listOllamaModels(url)).toEqual(["qwen2.5-coder:7b", "llama3:latest"]);
  expect(await listOllamaModels(`${url}/ollama/`)).toHaveLength(2);
  expect(await probeOllama(url)).toBe(true);
  expect(asked).toEqual(["/api/tags", "/ollama/api/tags", "/api/tags"]);
});

test("one without models is one all the same", async () => {
  const url = await serve((_, response) => response.end('{"models":[]}'));
  expect(await listOllamaModels(url)).toEqual([]);
  expect(await probeOllama(url)).toBe(true);
});

test.each<[string, RequestListener]>([
  ["a page", (_, response) => response.end("<html>router</html>")],
  ["other JSON", (_, response) => response.end('{"version":"1"}')],
  ["an error", (_, response) => response.writeHead(503).end(tags)],
  ["a hang-up", (request) => request.socket.destroy()],
])("%s is no Ollama", async (_, listener) => {
  const url = await serve(listener);
  expect(await listOllamaModels(url)).toBeUndefined();
  expect(await probeOllama(url)).toBe(false);
});

test("no address, nobody there: no Ollama", async () => {
  expect(await probeOllama("no address")).toBe(false);
  // The discard port: nobody listens there, and browsers' rules forbid to ask.
  expect(await probeOllama("http://127.0.0.1:9")).toBe(false);
});

test("who answers only in part is not waited for", async () => {
  const url = await serve((_, response) => void response.write('{"models":'));
  expect(await listOllamaModels(url, { timeoutMs: 20 })).toBeUndefined();
  const stop = new AbortController();
  const silent = await serve(() => stop.abort());
  expect(await listOllamaModels(silent, { signal: stop.signal, timeoutMs: 60_000 })).toBeUndefined();
});
