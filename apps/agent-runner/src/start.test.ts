import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPlatform, startRunner, type Platform } from "./__fixtures__/platform.ts";

describe("a runner that can't work says so in one line and exits 1", () => {
  let home: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "stigmer-runner-"));
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

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

  it("waits for a server, but not for ever", { timeout: 20_000 }, async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as AddressInfo;
    await new Promise((resolve) => taken.close(resolve));
    const runner = startRunner({ STIGMER_HOME: home, MODE: "local", STIGMER_BACKEND_ENDPOINT: `127.0.0.1:${port}` });
    expect(await runner.exited).toBe(1);
    expect(runner.output()).toContain(`Failed to connect to stigmer-server at 127.0.0.1:${port}: `);
    expect(runner.output()).toContain("stigmer local start");
  });

  it("refuses an engine that it doesn't have", async () => {
    const runner = startRunner({ STIGMER_HOME: home, MODE: "local", TEMPORAL_SERVICE_ADDRESS: "127.0.0.1:7233" });
    expect(await runner.exited).toBe(1);
    expect(runner.output()).toMatch(/^Failed to initialize worker: .*TEMPORAL_SERVICE_ADDRESS/m);
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
      platform.server.endpoint,
      "filesystem",
      "gRPC to the daemon",
      "skipped in local mode",
    ]) {
      expect(runner.output()).toContain(line);
    }
    runner.process.kill("SIGTERM");
    expect(await runner.exited).toBe(0);
  });

  it("is turned away with a wrong key", async () => {
    const runner = startRunner({
      MODE: "local",
      STIGMER_HOME: platform.home,
      STIGMER_BACKEND_ENDPOINT: platform.server.endpoint,
      STIGMER_API_KEY: "not-the-key",
    });
    expect(await runner.exited).toBe(1);
    expect(runner.output()).toMatch(/Failed to connect to stigmer-server at .*not valid/);
  });

  it("warns when its keys came in the environment", async () => {
    const runner = await platform.runner({ ANTHROPIC_API_KEY: "sk-in-the-environment" });
    expect(runner.output()).toContain("Note: ANTHROPIC_API_KEY came in this process's environment");
    expect(runner.output()).not.toContain("sk-in-the-environment");
    runner.process.kill("SIGINT");
    expect(await runner.exited).toBe(0);
  });
});
