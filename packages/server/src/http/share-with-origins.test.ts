import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningServer, startServer } from "../start-server.ts";

// What a browser asks and is answered, in its own words: it is the browser that holds pages to the answers.

const page = "https://app.example.com";
let home: string;
let server: RunningServer;
let url: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-origins-"));
  server = await startServer({ home, port: 0, allowedOrigins: [page, "http://localhost:5173"] });
  url = `http://${server.endpoint}/ai.stigmer.agentic.agent.v1.AgentQueryController/list`;
});
afterAll(async () => {
  await server.close();
  await rm(home, { recursive: true });
});

function preflight(origin: string, more: Record<string, string> = {}): Promise<Response> {
  const headers = {
    origin,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,connect-protocol-version,content-type",
    ...more,
  };
  return fetch(url, { method: "OPTIONS", headers });
}

function call(headers: Record<string, string>, body = "{}"): Promise<Response> {
  return fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body });
}

const listOf = (answer: Response, header: string): string[] =>
  (answer.headers.get(header) ?? "").toLowerCase().split(/, */);

describe("a page of an allowed origin", () => {
  it.each([page, "http://localhost:5173"])("of %s may ask beforehand", async (origin) => {
    const answer = await preflight(origin);
    expect([answer.status, await answer.text()]).toEqual([204, ""]);
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
    expect(listOf(answer, "access-control-allow-methods")).toEqual(["post", "get"]);
    const allowed = listOf(answer, "access-control-allow-headers");
    for (const name of [
      "authorization",
      "content-type",
      "connect-protocol-version",
      "connect-timeout-ms",
      "grpc-timeout",
      "x-grpc-web",
      "x-user-agent",
    ]) {
      expect(allowed).toContain(name);
    }
    expect(Number(answer.headers.get("access-control-max-age"))).toBeGreaterThan(0);
    expect(answer.headers.get("vary")).toBe("Origin");
    expect(answer.headers.has("access-control-allow-credentials")).toBe(false);
  });

  it("may cross from a public site to a private address when its browser asks", async () => {
    const answer = await preflight(page, { "access-control-request-private-network": "true" });
    expect(answer.headers.get("access-control-allow-private-network")).toBe("true");
    expect((await preflight(page)).headers.has("access-control-allow-private-network")).toBe(false);
  });

  it("may read the answer, and what gRPC-Web says in headers", async () => {
    const answer = await call({ origin: page, authorization: `Bearer ${server.apiKey}` });
    expect([answer.status, await answer.json()]).toEqual([200, {}]);
    expect(answer.headers.get("access-control-allow-origin")).toBe(page);
    expect(listOf(answer, "access-control-expose-headers")).toEqual(
      expect.arrayContaining(["grpc-status", "grpc-message", "grpc-status-details-bin"]),
    );
  });

  it("needs the key, and may read that it does", async () => {
    const answer = await call({ origin: page });
    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([401, "unauthenticated"]);
    expect(answer.headers.get("access-control-allow-origin")).toBe(page);
  });
});

describe("any other page", () => {
  it.each(["https://evil.example", "null", "http://app.example.com"])("of %s is refused", async (origin) => {
    for (const answer of [await preflight(origin), await call({ origin, authorization: `Bearer ${server.apiKey}` })]) {
      expect(answer.status).toBe(403);
      expect(answer.headers.has("access-control-allow-origin")).toBe(false);
    }
  });

  it("of this machine is told nothing, unless it is allowed", async () => {
    const asked = await preflight("http://localhost:3000");
    expect(asked.status).toBe(405);
    const called = await call({ origin: "http://localhost:3000", authorization: `Bearer ${server.apiKey}` });
    for (const answer of [asked, called]) expect(answer.headers.has("access-control-allow-origin")).toBe(false);
  });
});

it("a server without allowed origins shares with none", async () => {
  const other = await mkdtemp(join(tmpdir(), "stigmer-origins-"));
  const closed = await startServer({ home: other, port: 0 });
  try {
    const answer = await fetch(`http://${closed.endpoint}/`, { method: "OPTIONS", headers: { origin: page } });
    expect(answer.status).toBe(403);
    const own = await fetch(`http://${closed.endpoint}/`, { method: "POST" });
    expect([own.status, own.headers.has("access-control-allow-origin")]).toEqual([404, false]);
  } finally {
    await closed.close();
    await rm(other, { recursive: true });
  }
});

it.each([
  "*",
  "null",
  "app.example.com",
  "https://app.example.com/",
  "https://*.example.com",
  "https://APP.example.com",
])("%s is no origin", async (origin) => {
  await expect(startServer({ home, port: 0, allowedOrigins: [origin] })).rejects.toMatchObject({
    code: "bad-origin",
    message: `The allowed origin "${origin}" is none: write scheme, host and port alone, as https://app.example.com. There is no wildcard.`,
  });
});
