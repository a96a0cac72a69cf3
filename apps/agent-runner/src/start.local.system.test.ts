import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startFixtureServer } from "./__fixtures__/fixture-server.ts";
import { freePort } from "./__fixtures__/free-port.ts";
import { startPlatform, startRunner, type Platform, type RunnerProcess } from "./__fixtures__/platform.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-runner-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** The lines that a runner printed beside its banner and its log. */
function lines(runner: RunnerProcess): string[] {
  return runner
    .output()
    .split("\n")
    .filter((line) => /^[A-Z][a-z-]+ /.test(line) && !/^(Stigmer Agent Runner|Task queue|On request)/.test(line));
}

const cloud = {
  MODE: "cloud",
  STIGMER_BACKEND_ENDPOINT: "127.0.0.1:1",
  STIGMER_API_KEY: "stk_cloud-key",
  TEMPORAL_SERVICE_ADDRESS: "127.0.0.1:1",
  TEMPORAL_NAMESPACE: "default",
  REDIS_HOST: "127.0.0.1",
  REDIS_PASSWORD: "redis-pass-word",
  DAYTONA_API_KEY: "daytona-key",
  STIGMER_CHECKPOINT_URL: "postgres://runner:pg-pass-word@127.0.0.1:1/checkpoints",
  STIGMER_RUNNER_HEALTH_PORT: "0",
};

describe("a runner that can't work says so in one line and exits 1", () => {
  it("names every offending variable at once", async () => {
    const runner = startRunner({ STIGMER_HOME: home, MODE: "cloud" });
    expect(await runner.exited).toBe(1);
    expect(runner.output()).toMatch(/^Failed to load configuration: Missing required environment variable: /);
    for (const name of ["STIGMER_BACKEND_ENDPOINT", "STIGMER_API_KEY", "TEMPORAL_SERVICE_ADDRESS", "REDIS_HOST"]) {
      expect(runner.output()).toContain(`Missing required environment variable: ${name}`);
    }
  });

  it("says what is wrong with a value", async () => {
    const runner = startRunner({ STIGMER_HOME: home, MODE: "local", TEMPORAL_MAX_CONCURRENCY: "many" });
    expect(await runner.exited).toBe(1);
    expect(runner.output()).toMatch(/^Failed to load configuration: .*TEMPORAL_MAX_CONCURRENCY/);
  });

  it("waits for a server, but not for ever", { timeout: 40_000 }, async () => {
    const port = await freePort();
    const runner = startRunner({ STIGMER_HOME: home, MODE: "local", STIGMER_BACKEND_ENDPOINT: `127.0.0.1:${port}` });
    expect(await runner.exited).toBe(1);
    expect(lines(runner)).toEqual([
      `Failed to connect to stigmer-server at 127.0.0.1:${port}: no answer within 5 s. Start it with \`stigmer local start\`, or set STIGMER_BACKEND_ENDPOINT (https://… where it speaks TLS).`,
    ]);
  });

  it("gives up on what takes connections and says nothing", { timeout: 40_000 }, async () => {
    const silent = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    const runner = startRunner({ STIGMER_HOME: home, MODE: "local", STIGMER_BACKEND_ENDPOINT: `127.0.0.1:${port}` });
    expect(await runner.exited).toBe(1);
    expect(lines(runner)).toEqual([expect.stringContaining("no answer within 5 s")]);
    await new Promise((resolve) => silent.close(resolve));
  });

  it("does not show a secret that came damaged", async () => {
    const runner = startRunner(
      { STIGMER_HOME: home, MODE: "local" },
      { secrets: { ANTHROPIC_API_KEY: ["sk-very-secret"] as unknown as string } },
    );
    expect(await runner.exited).toBe(1);
    expect(runner.output()).toContain("are not a JSON object of strings");
    expect(runner.output()).not.toContain("sk-very-secret");
  });

  it("needs its Redis in cloud mode, before all else", async () => {
    const port = await freePort();
    const runner = startRunner({ ...cloud, STIGMER_HOME: home, REDIS_PORT: `${port}` });
    expect(await runner.exited).toBe(1);
    expect(runner.output()).toContain("Stigmer Agent Runner - CLOUD Mode");
    expect(lines(runner)).toEqual([
      `Failed to connect to Redis: 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}; check REDIS_HOST, REDIS_PORT and REDIS_TLS`,
    ]);
    expect(runner.output()).not.toMatch(/pass-word|daytona-key|stk_cloud/);
  });

  it("names the port of its health endpoints when it is taken", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as AddressInfo;
    const runner = startRunner({ STIGMER_HOME: home, MODE: "local", STIGMER_RUNNER_HEALTH_PORT: `${port}` });
    expect(await runner.exited).toBe(1);
    expect(lines(runner)).toEqual([
      expect.stringMatching(`^Failed to initialize worker: STIGMER_RUNNER_HEALTH_PORT=${port} .*EADDRINUSE`),
    ]);
    await new Promise((resolve) => taken.close(resolve));
  });
});

describe("a runner and a server that don't fit", () => {
  const fits = { version: "9.9.9", protocol: 1, oldestProtocol: 1, engine: "embedded" };
  it.each([
    [
      "protocol",
      () => ({ ...fits, protocol: 3, oldestProtocol: 2 }),
      /^Failed to initialize worker: this runner \(.+\) is too old for stigmer-server 9\.9\.9 at 127\.0\.0\.1:\d+: .*upgrade the runner$/,
    ],
    [
      "engine",
      () => ({ ...fits, engine: "temporal" }),
      /^Failed to initialize worker: stigmer-server 9\.9\.9 .* keeps its runs by Temporal, this runner is set up for the embedded engine; set TEMPORAL_SERVICE_ADDRESS/,
    ],
    [
      "clock",
      () => ({ ...fits, time: new Date(Date.now() + 5 * 60_000).toISOString() }),
      /^Failed to initialize worker: this machine's clock is 5 min behind that of stigmer-server 9\.9\.9 .*NTP/,
    ],
  ])("part at once, with one line: %s", async (_, answer, line) => {
    await using server = await startFixtureServer({ hello: answer });
    const runner = startRunner({ STIGMER_HOME: home, MODE: "local", STIGMER_BACKEND_ENDPOINT: server.endpoint });
    expect(await runner.exited).toBe(1);
    expect(lines(runner)).toEqual([expect.stringMatching(line)]);
    expect(server.calls).toEqual(["hello"]);
  });

  it("work together when the server is of before hello", async () => {
    await using server = await startFixtureServer({
      async *takeLeases(_, { signal }) {
        yield { event: { case: "attached", value: { leaseMs: 30_000, heartbeatIntervalMs: 10_000, kept: [] } } };
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
    const runner = startRunner({ STIGMER_HOME: home, MODE: "local", STIGMER_BACKEND_ENDPOINT: server.endpoint });
    await runner.printed("Worker ready, polling for tasks...");
    runner.process.kill("SIGTERM");
    expect(await runner.exited).toBe(0);
  });
});

describe("a runner at a server", () => {
  let platform: Platform;
  beforeAll(async () => {
    platform = await startPlatform({ name: "none", scenarios: [{ name: "any", turns: [{ text: "ok" }] }] });
  });
  afterAll(() => platform[Symbol.asyncDispose]());

  it("shows its banner, takes work, and ends politely", async () => {
    const runner = await platform.runner();
    for (const line of [
      "Stigmer Agent Runner - LOCAL Mode",
      "agent_execution_runner",
      platform.endpoint,
      "filesystem",
      "gRPC to the daemon",
      "skipped in local mode",
    ]) {
      expect(runner.output()).toContain(line);
    }
    expect(runner.output()).not.toContain("healthz");
    runner.process.kill("SIGTERM");
    expect(await runner.exited).toBe(0);
  });

  it("is turned away with a wrong key", async () => {
    const runner = startRunner({
      MODE: "local",
      STIGMER_HOME: platform.home,
      STIGMER_BACKEND_ENDPOINT: platform.endpoint,
      STIGMER_API_KEY: "not-the-key",
    });
    expect(await runner.exited).toBe(1);
    expect(lines(runner)).toEqual([expect.stringMatching(/^Failed to connect to stigmer-server at .*not valid/)]);
  });

  it("names a sandbox that it doesn't have", async () => {
    const runner = startRunner({
      MODE: "local",
      STIGMER_HOME: platform.home,
      STIGMER_BACKEND_ENDPOINT: platform.endpoint,
      SANDBOX_TYPE: "docker",
      SANDBOX_NETWORK: "off",
      DOCKER_HOST: "unix:///not-there.sock",
    });
    expect(await runner.exited).toBe(1);
    expect(runner.output()).toContain(
      `docker, image node:24-bookworm, root ${platform.home}/workspaces/<session id>, network off`,
    );
    expect(lines(runner)).toEqual([
      expect.stringMatching(/^Failed to initialize worker: SANDBOX_TYPE=docker: .*not-there\.sock/),
    ]);
  });

  it("refuses a network policy that its sandbox can't keep", async () => {
    const runner = startRunner({ MODE: "local", STIGMER_HOME: platform.home, SANDBOX_NETWORK: "off" });
    expect(await runner.exited).toBe(1);
    expect(lines(runner)).toEqual([expect.stringContaining('SANDBOX_NETWORK is "off": expected full')]);
  });

  it("warns when its keys came in the environment", async () => {
    const runner = await platform.runner({ ANTHROPIC_API_KEY: "sk-in-the-environment" });
    expect(runner.output()).toContain("Note: ANTHROPIC_API_KEY came in this process's environment");
    expect(runner.output()).not.toContain("sk-in-the-environment");
    runner.process.kill("SIGINT");
    expect(await runner.exited).toBe(0);
  });
});
