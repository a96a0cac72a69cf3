import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startScriptedModel } from "@stigmer/scripted-model";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startCli } from "../../__fixtures__/local-server.ts";
import { checkNode } from "./checks.ts";
import { checkClock } from "./connections.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "stigmer-doctor-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

interface Check {
  readonly name: string;
  readonly state: string;
  readonly message: string;
  readonly fix?: string;
}

interface Seen {
  readonly code: number;
  readonly checks: Readonly<Record<string, Check>>;
  readonly connections?: readonly { to: string; why: string }[];
}

// No port of the machine's, no Ollama, no Docker.
const quiet = {
  STIGMER_PORT: "0",
  OLLAMA_BASE_URL: "http://127.0.0.1:9",
  DOCKER_HOST: "unix:///nowhere.sock",
};

async function look(env: Record<string, string> = {}, args: readonly string[] = []): Promise<Seen> {
  const run = startCli(["doctor", "--json", ...args], { env: { STIGMER_HOME: home, ...quiet, ...env } });
  const { code, out, err } = await run.done;
  expect(err).toBe("");
  const { checks, connections } = JSON.parse(out) as { checks: Check[]; connections?: Seen["connections"] };
  return { code, checks: Object.fromEntries(checks.map((check) => [check.name, check])), connections };
}

test("a machine without a model can be started on, and is told what runs lack", async () => {
  const { code, checks } = await look();
  expect(code).toBe(0);
  expect(Object.keys(checks)).toEqual([
    "Node.js",
    "home",
    "settings",
    "disk",
    "daemon",
    "port",
    "model",
    "Ollama",
    "provider",
    "clock",
    "sandboxes",
    "Temporal",
  ]);
  expect(checks["model"]).toMatchObject({ state: "warn", fix: expect.stringContaining("ANTHROPIC_API_KEY") });
  expect(checks["sandboxes"]?.message).toMatch(/^filesystem; usable are filesystem/);
  for (const name of ["home", "settings", "port", "provider"]) expect(checks[name]?.state, name).toBe("ok");
});

test("a provider that answers is reached without a key, one that doesn't is a failure", async () => {
  await using model = await startScriptedModel({
    scenario: { name: "none", scenarios: [{ name: "any", turns: [{ text: "ok" }] }] },
  });
  const key = { ANTHROPIC_API_KEY: "sk-hush", ANTHROPIC_BASE_URL: model.url };
  const { code, checks } = await look(key);
  expect([code, checks["model"]?.message]).toEqual([0, "anthropic:claude-sonnet-4-5"]);
  expect(checks["provider"]).toMatchObject({ state: "ok", message: `${model.url} answers` });
  expect(checks["clock"]).toMatchObject({ state: "ok", message: "agrees with the provider's" });
  expect(JSON.stringify(model.requests)).not.toContain("hush");

  const away = await look({ ...key, ANTHROPIC_BASE_URL: "http://127.0.0.1:9" });
  expect(away.code).toBe(1);
  expect(away.checks["provider"]).toMatchObject({
    state: "fail",
    message: expect.stringContaining("can't be reached"),
  });
});

test("a port that is taken, settings that are wrong, an open home and a missing Temporal are failures with their fix", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  chmodSync(home, 0o777);
  try {
    const env = { STIGMER_PORT: String(port), TEMPORAL_SERVICE_ADDRESS: "127.0.0.1:9" };
    const { code, checks } = await look(env);
    expect(code).toBe(1);
    expect(checks["port"]).toMatchObject({ state: "fail", message: `${port} on 127.0.0.1 is in use` });
    expect(checks["Temporal"]).toMatchObject({ state: "fail", message: expect.stringContaining("ECONNREFUSED") });
    expect(checks["home"]).toMatchObject({ state: "warn", fix: `chmod go-w ${home}` });
  } finally {
    other.close();
  }
  writeFileSync(join(home, "config.yaml"), "llm:\n  modle: x\n");
  const { code, checks } = await look({ SANDBOX_TYPE: "attic" });
  expect([code, checks["settings"]?.state]).toEqual([1, "fail"]);
  expect(checks["settings"]?.message).toMatch(/SANDBOX_TYPE.*config\.yaml:2:3: .*did you mean model\?/);
  expect((await look({ STIGMER_HOME: join(home, "config.yaml") })).checks["home"]?.state).toBe("fail");
});

test("a sandbox that is configured and not there is a failure", async () => {
  const { code, checks } = await look({ SANDBOX_TYPE: "docker" });
  expect([code, checks["sandboxes"]?.state]).toEqual([1, "fail"]);
  expect(checks["sandboxes"]?.message).toContain("nowhere.sock");
});

test("one that sessions are offered by name and that is not there is told", async () => {
  const { checks } = await look({ SANDBOX_TYPES: "docker" });
  expect(checks["sandboxes"]).toMatchObject({
    state: "warn",
    message: expect.stringContaining("nowhere.sock"),
    fix: "install what is missing, or take docker out of SANDBOX_TYPES",
  });
  expect((await look({})).checks["sandboxes"]?.state).toBe("ok");
});

test("offline makes no connection, and lists what it would make", async () => {
  await using model = await startScriptedModel({
    scenario: { name: "none", scenarios: [{ name: "any", turns: [{ text: "ok" }] }] },
  });
  const temporal = createServer(() => expect.unreachable("somebody connects")).listen(0, "127.0.0.1");
  await once(temporal, "listening");
  const address = `127.0.0.1:${(temporal.address() as AddressInfo).port}`;
  const env = {
    OPENAI_API_KEY: "k",
    OPENAI_BASE_URL: `${model.url}/v1`,
    OLLAMA_BASE_URL: model.url,
    TEMPORAL_SERVICE_ADDRESS: address,
  };
  try {
    const { connections } = await look(env, ["--offline"]);
    expect(connections?.map(({ to }) => to)).toEqual([
      `${model.url}/api/tags`,
      `${model.url}/v1`,
      address,
      "unix:///nowhere.sock",
    ]);
    expect(model.requests).toEqual([]);
  } finally {
    temporal.close();
  }
  const text = await startCli(["doctor", "--offline"], { env: { STIGMER_HOME: home, ...quiet } }).done;
  expect(text.out).toMatch(/^ok {4}Node\.js {4}\d+/m);
  expect(text.out).toMatch(/\nWithout --offline these connections are made:\n {2}http:\/\/127\.0\.0\.1:9\/api\/tags /);
});

test("an old Node.js and a clock that is off are told", () => {
  expect(checkNode("22.17.9")).toMatchObject({ state: "fail", fix: expect.stringContaining("22.18") });
  expect(checkNode("22.18.0").state).toBe("ok");
  const now = Date.UTC(2026, 0, 1);
  expect(checkClock(now - 61_000, now)).toMatchObject({ state: "warn", message: "61 s ahead of the provider's" });
  expect(checkClock(now + 300_000, now)).toMatchObject({ state: "warn", message: "300 s behind the provider's" });
  expect(checkClock(now - 59_000, now).state).toBe("ok");
});
