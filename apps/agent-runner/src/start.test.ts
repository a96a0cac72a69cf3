import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startPlatform, startRunner, type Platform } from "./__fixtures__/platform.ts";

// That the runner starts and refuses at all. All else about its start is in start.*system.test.ts, about its life and end in
// lifecycle.system.test.ts.

let platform: Platform;
let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "stigmer-runner-"));
  platform = await startPlatform({ name: "none", scenarios: [{ name: "any", turns: [{ text: "ok" }] }] });
});
afterAll(async () => {
  await platform[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

it("says in one line what is missing", async () => {
  const runner = startRunner({ STIGMER_HOME: home, MODE: "cloud" });
  expect(await runner.exited).toBe(1);
  expect(runner.output()).toMatch(/^Failed to load configuration: Missing required environment variable: /);
});

it("shows its banner, takes work, and ends politely", async () => {
  const runner = await platform.runner();
  expect(runner.output()).toContain("Stigmer Agent Runner - LOCAL Mode");
  expect(runner.output()).toContain(platform.endpoint);
  runner.process.kill("SIGTERM");
  expect(await runner.exited).toBe(0);
});
