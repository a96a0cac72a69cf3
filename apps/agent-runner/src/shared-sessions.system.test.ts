import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { ExecutionPhase, type AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startPlatform, type Platform, type RunnerProcess } from "./__fixtures__/platform.ts";
import { startTemporal, type TemporalServer } from "./__fixtures__/temporal.ts";
import { until } from "./__fixtures__/until.ts";

// Two runners in cloud mode as real processes, on real Temporal, Postgres, Redis and Docker: what becomes of a session's sandbox when its
// turns go from one to the other, and what Redis hears of it.

const SECRET = `canary-${randomBytes(12).toString("hex")}`;

let temporal: TemporalServer;
let platform: Platform;
let redisUrl: URL;
let docker: { readonly host: string; readonly image: string };
const homes: string[] = [];

const execute = (command: string) => ({ toolCalls: [{ name: "execute", args: { command } }] });
const scenario = (human: string, ...turns: object[]) => ({ name: human, match: { human }, turns });

beforeAll(async () => {
  const { STIGMER_TEST_REDIS_URL: redis, STIGMER_TEST_DOCKER: engine } = process.env;
  if (!redis || !engine) throw new Error("Run these suites with: pnpm test:system");
  const [host = "", image = ""] = engine.split(" ");
  docker = { host, image };
  redisUrl = new URL(redis);
  temporal = await startTemporal();
  const { address } = temporal;
  platform = await startPlatform(
    {
      name: "shared",
      scenarios: [
        scenario("Write.", execute("echo from-the-first > note; echo $TOKEN written"), { text: "Written." }),
        scenario("Read.", execute("cat note"), { text: "Read." }),
        scenario("Block.", execute("echo begun > begun; while [ ! -e go ]; do sleep 0.2; done"), { text: "Went on." }),
        scenario("Look.", execute("ls"), { text: "Looked." }),
      ],
    } as Parameters<typeof startPlatform>[0],
    { engine: { type: "temporal", address, namespace: "default", heartbeatTimeoutMs: 3_000, retryDelayMs: 100 } },
  );
}, 120_000);
afterAll(async () => {
  await platform[Symbol.asyncDispose]();
  await temporal[Symbol.asyncDispose]();
  for (const home of homes) await rm(home, { recursive: true, force: true });
});

async function runner(): Promise<RunnerProcess & { readonly home: string }> {
  const home = await mkdtemp(join(tmpdir(), "stigmer-shared-"));
  homes.push(home);
  const started = await platform.runner({
    MODE: "cloud",
    STIGMER_HOME: home,
    STIGMER_API_KEY: (await readFile(join(platform.home, "local.key"), "utf8")).trim(),
    STIGMER_CHECKPOINT_URL: process.env["STIGMER_TEST_POSTGRES_URL"] ?? "",
    TEMPORAL_MAX_CONCURRENCY: "1",
    REDIS_HOST: redisUrl.hostname,
    REDIS_PORT: redisUrl.port,
    REDIS_PASSWORD: redisUrl.password,
    STIGMER_RUNNER_HEALTH_PORT: "0",
    DOCKER_HOST: docker.host,
    SANDBOX_DOCKER_IMAGE: docker.image,
    SANDBOX_DOCKER_PULL: "never",
  });
  return { ...started, home };
}

async function engine(...args: readonly string[]): Promise<string> {
  return (await promisify(execFile)("docker", ["-H", docker.host, ...args])).stdout;
}

const sandboxOf = async (sessionId: string): Promise<string> =>
  (await platform.client.sessions.get(sessionId)).spec?.sandboxId ?? "";
const outputs = ({ toolCalls }: AgentExecutionStatus): string[] => toolCalls.map(({ result }) => result.trim());

it("keeps a session's sandbox over runners, their deaths, and says when it is gone", { timeout: 600_000 }, async () => {
  const agent = await platform.applyAgent({
    envSpec: { data: { TOKEN: { value: SECRET, isSecret: true } } },
  });
  const heard: string[] = [];
  const watched = new Redis({ host: redisUrl.hostname, port: Number(redisUrl.port), password: redisUrl.password });
  const ears = await watched.monitor();
  ears.on("monitor", (_time: string, args: readonly string[]) => void heard.push(args.join(" ")));

  const a = await runner();
  const [one, two] = [await platform.createSession(agent), await platform.createSession(agent)];
  const [first, second] = [one.metadata?.id ?? "", two.metadata?.id ?? ""];
  const written = await platform.run({ sessionId: first, message: "Write." });
  expect(written.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
  const sandbox = await sandboxOf(first);
  expect(sandbox).toMatch(/^docker:/);

  // The first runner is busy: the next turn is the other's.
  const blocking = await platform.submit({ sessionId: second, message: "Block." });
  await until(
    () =>
      readFile(join(a.home, "workspaces", second, "begun")).then(
        () => true,
        () => false,
      ),
    60_000,
  );
  const b = await runner();
  const read = await platform.run({ sessionId: first, message: "Read." });
  expect(read.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
  expect(outputs(read)).toEqual([expect.stringMatching(/^from-the-first$/m)]);
  expect(await sandboxOf(first)).toBe(sandbox);
  expect(b.output()).toContain("waiting for another runner to let go of the session's sandbox");

  // The first one dies in the middle of a turn.
  const blocked = await sandboxOf(second);
  a.process.kill("SIGKILL");
  await a.exited;
  const went = await platform.follow(blocking);
  expect(went.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
  expect(await sandboxOf(second)).toBe(blocked);
  const looked = await platform.run({ sessionId: second, message: "Look." });
  expect(outputs(looked)).toEqual([expect.stringMatching(/^begun$/m)]);

  // Somebody removes the sandbox.
  await engine("rm", "-f", sandbox.slice("docker:".length));
  const after = await platform.run({ sessionId: first, message: "Look." });
  expect(after.phase).toBe(ExecutionPhase.EXECUTION_COMPLETED);
  expect(await sandboxOf(first)).not.toBe(sandbox);
  const asked = JSON.stringify(platform.model.requests.filter(({ scenario: name }) => name === "Look.").at(-1));
  expect(asked).toContain("This session's sandbox is a new one");

  // What Redis was told holds no secret and no word of a message.
  ears.disconnect();
  const keys = await watched.keys("*");
  const values = await Promise.all(keys.map((key) => watched.get(key).catch(() => "")));
  watched.disconnect();
  const told = [...heard, ...keys, ...values].join("\n");
  expect(told).toContain(`stigmer:sandbox:${first}`);
  const key = (await readFile(join(platform.home, "local.key"), "utf8")).trim();
  for (const word of [SECRET, key, "Write.", "Written.", "from-the-first", "echo begun", "scripted-model-key"]) {
    expect(told).not.toContain(word);
  }
  for (const id of [await sandboxOf(first), await sandboxOf(second)])
    await engine("rm", "-f", id.slice("docker:".length));
});
