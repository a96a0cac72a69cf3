import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "./__fixtures__/free-port.ts";
import { startPlatform, startRunner, type Platform } from "./__fixtures__/platform.ts";
import { startTemporal, type TemporalServer } from "./__fixtures__/temporal.ts";
import { until } from "./__fixtures__/until.ts";

// A runner's start against real Redis, Temporal and server: each that fails is named in one line, in the order of the checks.

let home: string;
let temporal: TemporalServer;
let platform: Platform;
let redis: URL;

beforeAll(async () => {
  const url = process.env["STIGMER_TEST_REDIS_URL"];
  if (!url) throw new Error("STIGMER_TEST_REDIS_URL is not set: run `pnpm test:system`, or name a Redis of your own");
  redis = new URL(url);
  home = await mkdtemp(join(tmpdir(), "stigmer-runner-"));
  temporal = await startTemporal();
  platform = await startPlatform(
    { name: "none", scenarios: [{ name: "any", turns: [{ text: "ok" }] }] },
    { engine: { type: "temporal", address: temporal.address, namespace: "default" } },
  );
}, 120_000);

afterAll(async () => {
  await platform[Symbol.asyncDispose]();
  await temporal[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

const secrets = ["stk_cloud-key", "pg-pass-word", "daytona-key"];

function cloud(changes: Record<string, string> = {}): Record<string, string> {
  return {
    MODE: "cloud",
    STIGMER_HOME: home,
    STIGMER_BACKEND_ENDPOINT: platform.endpoint,
    STIGMER_API_KEY: "stk_cloud-key",
    TEMPORAL_SERVICE_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: "default",
    REDIS_HOST: redis.hostname,
    REDIS_PORT: redis.port,
    REDIS_PASSWORD: redis.password,
    DAYTONA_API_KEY: "daytona-key",
    STIGMER_CHECKPOINT_URL: "postgres://runner:pg-pass-word@127.0.0.1:1/checkpoints",
    STIGMER_RUNNER_HEALTH_PORT: "0",
    ...changes,
  };
}

/** The one line that says why a runner ended. */
async function lastLine(env: Record<string, string>): Promise<string> {
  const runner = startRunner(env);
  expect(await runner.exited).toBe(1);
  for (const secret of [...secrets, redis.password]) expect(runner.output()).not.toContain(secret);
  const failures = runner.output().match(/^Failed .*$/gm) ?? [];
  expect(failures).toHaveLength(1);
  expect(
    runner
      .output()
      .trimEnd()
      .endsWith(failures[0] ?? ""),
  ).toBe(true);
  return failures[0] ?? "";
}

describe("a runner in cloud mode", () => {
  it("shows Redis, Temporal and its server in its banner", async () => {
    const runner = startRunner(cloud({ REDIS_PASSWORD: "not-the-password" }));
    expect(await runner.exited).toBe(1);
    for (const line of [
      "Stigmer Agent Runner - CLOUD Mode",
      `Temporal at ${temporal.address}, namespace default`,
      `${redis.hostname}:${redis.port}`,
      "daytona",
      platform.endpoint,
    ]) {
      expect(runner.output()).toContain(line);
    }
  });

  it("is refused by Redis with a wrong password, which it does not show", async () => {
    const line = await lastLine(cloud({ REDIS_PASSWORD: "not-the-password" }));
    expect(line).toMatch(/^Failed to connect to Redis: .*WRONGPASS/);
    expect(line).not.toContain("not-the-password");
  });

  it("looks for Temporal next", async () => {
    const port = await freePort();
    const line = await lastLine(cloud({ TEMPORAL_SERVICE_ADDRESS: `127.0.0.1:${port}` }));
    expect(line).toMatch(`Failed to connect to Temporal: Temporal can't be reached at 127.0.0.1:${port}`);
  });

  it("needs its namespace", async () => {
    const line = await lastLine(cloud({ TEMPORAL_NAMESPACE: "nobody-made-it" }));
    expect(line).toMatch(/^Failed to connect to Temporal: .*no namespace "nobody-made-it"/);
  });

  it("looks for its server after that", async () => {
    const port = await freePort();
    const line = await lastLine(cloud({ STIGMER_BACKEND_ENDPOINT: `127.0.0.1:${port}` }));
    expect(line).toMatch(`Failed to connect to stigmer-server at 127.0.0.1:${port}: no answer within 5 s`);
  });

  it("is turned away by a server that does not know its key", async () => {
    expect(await lastLine(cloud())).toMatch(/^Failed to connect to stigmer-server at .*the API key is not known here/);
  });
});

describe("a runner in local mode, on Temporal", () => {
  const local = (changes: Record<string, string> = {}): Record<string, string> => ({
    MODE: "local",
    STIGMER_HOME: platform.home,
    STIGMER_BACKEND_ENDPOINT: platform.endpoint,
    TEMPORAL_SERVICE_ADDRESS: temporal.address,
    ...changes,
  });

  it("says what is missing in one line, as in cloud mode", async () => {
    expect(await lastLine(local({ TEMPORAL_NAMESPACE: "nobody-made-it" }))).toMatch(/no namespace "nobody-made-it"/);
  });

  it("names the checkpoint database that it can't use, without the password", async () => {
    const url = "postgres://runner:pg-pass-word@127.0.0.1:1/checkpoints";
    expect(await lastLine(local({ STIGMER_CHECKPOINT_URL: url }))).toMatch(
      /^Failed to initialize worker: .*127\.0\.0\.1:1/,
    );
  });

  it("does not work with a server of the other engine", async () => {
    expect(await lastLine(local({ STIGMER_ENGINE: "embedded" }))).toMatch(
      /^Failed to initialize worker: .*keeps its runs by Temporal, this runner is set up for the embedded engine/,
    );
  });

  it("is ready while Temporal is there, and again by itself", { timeout: 120_000 }, async () => {
    const runner = await platform.runner({ STIGMER_RUNNER_HEALTH_PORT: "0" });
    const url = /^Health: +(http:\S+)\/healthz/m.exec(runner.output())?.[1];
    const ready = async (): Promise<string> => {
      const response = await fetch(`${url}/readyz`);
      return `${response.status} ${(await response.text()).trim()}`;
    };
    expect(await ready()).toBe("200 ok");
    await temporal.kill();
    await until(async () => (await ready()) === "503 disconnected", 60_000);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    await temporal.start();
    await until(async () => (await ready()) === "200 ok", 60_000);
    const agent = await platform.applyAgent();
    const status = await platform.run({ agentId: agent.metadata?.id, message: "anything" });
    expect(status.messages.at(-1)?.content).toBe("ok");
    runner.process.kill("SIGTERM");
    expect(await runner.exited).toBe(0);
  });
});
