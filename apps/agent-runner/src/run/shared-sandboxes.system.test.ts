import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { loadConfig } from "@stigmer/config";
import { connectRedis, type RedisConnection } from "@stigmer/engine/redis";
import type { SandboxHolds } from "@stigmer/sandbox";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { startPlatform, type Platform } from "../__fixtures__/platform.ts";
import { until } from "../__fixtures__/until.ts";
import { createSandboxHolds } from "../connections/sandbox-holds.ts";
import { sandboxesOf } from "../sandboxes.ts";
import { rememberSandbox } from "./remember-sandbox.ts";
import { createSessionWorkspaces, type SessionWorkspaces, type Workspace } from "./session-workspaces.ts";

// Sandboxes of two runners in homes of their own, on one Docker engine, one Redis and one server, all real.

let platform: Platform;
let redisUrl: URL;
let docker: { readonly host: string; readonly image: string };
let lines: string[];
const closers: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const { STIGMER_TEST_REDIS_URL: redis, STIGMER_TEST_DOCKER: engine } = process.env;
  if (!redis || !engine) throw new Error("Run these suites with: pnpm test:system");
  const [host = "", image = ""] = engine.split(" ");
  docker = { host, image };
  redisUrl = new URL(redis);
  platform = await startPlatform({ name: "none", scenarios: [{ name: "any", turns: [{ text: "ok" }] }] });
  lines = [];
});
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
  lines = [];
});
afterAll(() => platform[Symbol.asyncDispose]());

interface Party {
  readonly workspaces: SessionWorkspaces;
  readonly redis: RedisConnection;
  /** As at the beginning of a turn: with the session as it is stored now, or as it was read before. */
  turn(sessionId: string, before?: Promise<unknown>): Promise<Workspace>;
}

async function party(
  name: string,
  options: { readonly alone?: boolean; readonly patienceMs?: number } = {},
): Promise<Party> {
  const home = await mkdtemp(join(tmpdir(), `stigmer-${name}-`));
  closers.push(() => rm(home, { recursive: true, force: true }));
  const say = (fields: object, message: string): void =>
    void lines.push(`${name}: ${message} ${JSON.stringify(fields)}`);
  const logger = { debug() {}, info: say, warn: say, error: say };
  const { hostname: host, port, password } = redisUrl;
  const redis = await connectRedis({ host, port: Number(port), password }, { logger, meanwhile: "-" });
  closers.push(() => redis.close());
  const nobody: SandboxHolds = { acquire: async () => ({ release: async () => {} }) };
  const config = loadConfig({
    MODE: "cloud",
    STIGMER_HOME: home,
    STIGMER_BACKEND_ENDPOINT: platform.endpoint,
    STIGMER_API_KEY: "stk_key",
    TEMPORAL_SERVICE_ADDRESS: "127.0.0.1:7233",
    TEMPORAL_NAMESPACE: "default",
    REDIS_HOST: host,
    STIGMER_CHECKPOINT_URL: "postgres://127.0.0.1/checkpoints",
    DOCKER_HOST: docker.host,
    SANDBOX_DOCKER_IMAGE: docker.image,
    SANDBOX_DOCKER_PULL: "never",
  });
  const workspaces = createSessionWorkspaces({
    sandboxes: sandboxesOf(config),
    holds: options.alone
      ? nobody
      : createSandboxHolds({ redis, runnerId: name, logger, leaseMs: 1_500, patienceMs: options.patienceMs }),
    workspacesDir: config.homes.workspacesDir,
    dataDir: config.homes.dataDir,
    logger,
  });
  closers.push(() => workspaces.dispose());
  return {
    workspaces,
    redis,
    async turn(sessionId, before) {
      const session = await platform.client.sessions.get(sessionId);
      await before;
      return workspaces.get(session, (id) => rememberSandbox(platform.client, session, id));
    },
  };
}

async function newSession(): Promise<string> {
  const session = await platform.createSession(await platform.applyAgent());
  const id = session.metadata?.id ?? "";
  closers.push(async () => {
    for (const container of await containersOf(id)) await engine("rm", "-f", container);
  });
  return id;
}

const storedId = async (id: string): Promise<string | undefined> =>
  (await platform.client.sessions.get(id)).spec?.sandboxId;

async function engine(...args: readonly string[]): Promise<string> {
  return (await promisify(execFile)("docker", ["-H", docker.host, ...args])).stdout;
}

async function containersOf(sessionId: string): Promise<string[]> {
  const filter = `label=ai.stigmer.sandbox.owner=${sessionId}`;
  return (await engine("ps", "-aq", "--no-trunc", "--filter", filter)).split("\n").filter(Boolean);
}

it("go from one to the other with their files, as soon as the other asks", async () => {
  const [a, b] = [await party("a"), await party("b", { patienceMs: 60_000 })];
  const id = await newSession();
  const first = await a.turn(id);
  await first.sandbox.execute("echo from-a > note");
  const running = await first.sandbox.spawn("sleep 1000");
  const second = await b.turn(id);
  expect(second.sandbox.id).toBe(first.sandbox.id);
  expect(second.notice).toBeUndefined();
  expect((await second.sandbox.execute("cat note")).stdout).toBe("from-a\n");
  // It was asked, and did let go.
  expect(lines.filter((line) => line.startsWith("b: waiting for another runner"))).toHaveLength(1);
  expect(lines.join("\n")).not.toContain("taken over");
  expect((await running.wait()).reason).toBe("sandbox-gone");
  // And back.
  const third = await a.turn(id);
  expect((await third.sandbox.execute("cat note; echo again")).stdout).toBe("from-a\nagain\n");
  expect(await containersOf(id)).toEqual([first.sandbox.id.slice("docker:".length)]);
});

it("are one, when two open a session that has none at the same time, with Redis and without", async () => {
  for (const alone of [false, true]) {
    const [a, b] = [await party("a", { alone }), await party("b", { alone })];
    const id = await newSession();
    const both = Promise.withResolvers<void>();
    const turns = [a.turn(id, both.promise), b.turn(id, both.promise)];
    both.resolve();
    const [one, other] = await Promise.all(turns);
    expect(one?.sandbox.id).toBe(other?.sandbox.id);
    expect(await storedId(id)).toBe(one?.sandbox.id);
    expect(await containersOf(id)).toHaveLength(1);
  }
});

it("are taken from a runner that says nothing any more, which harms nothing when it wakes up", async () => {
  const [a, b] = [await party("a"), await party("b")];
  const id = await newSession();
  const first = await a.turn(id);
  await first.sandbox.execute("echo from-a > note");
  // It is as if it was stopped: it neither hears nor renews.
  await a.redis.close();
  const second = await b.turn(id);
  const writing = second.sandbox.execute("cat note; for i in 1 2 3 4 5 6 7 8; do sleep 0.25; done; echo whole");
  await a.workspaces.dispose();
  expect(await writing).toMatchObject({ exitCode: 0, stdout: "from-a\nwhole\n" });
  expect(second.sandbox.id).toBe(first.sandbox.id);
});

it("are taken from a runner that does not let go in time, and that is said", async () => {
  const [a, b] = [await party("a"), await party("b", { patienceMs: 0 })];
  const id = await newSession();
  const key = `stigmer:sandbox:${id}`;
  await a.redis.commands.set(key, "a-runner-that-hangs", "PX", 60_000);
  await b.turn(id);
  expect(lines.filter((line) => line.includes("it is taken over"))).toHaveLength(1);
  expect(await a.redis.commands.get(key)).toMatch(/^b\//);
  await b.workspaces.dispose();
  expect(await a.redis.commands.get(key)).toBeNull();
});

it("are replaced when they are gone, which the agent is told", async () => {
  const [a, b] = [await party("a"), await party("b")];
  const id = await newSession();
  const first = await a.turn(id);
  await engine("rm", "-f", first.sandbox.id.slice("docker:".length));
  const second = await b.turn(id);
  expect(second.sandbox.id).not.toBe(first.sandbox.id);
  expect(second.notice).toContain("This session's sandbox is a new one");
  expect(await storedId(id)).toBe(second.sandbox.id);
  // The one that had the old one open takes the new one.
  const third = await a.turn(id);
  expect(third.sandbox.id).toBe(second.sandbox.id);
  expect(third.notice).toBeUndefined();
});

it("are no other session's, whatever a session says, and are not removed with one that names them", async () => {
  const a = await party("a");
  const [mine, theirs] = [await newSession(), await newSession()];
  const { sandbox } = await a.turn(theirs);
  await sandbox.execute("echo private > note");
  const session = await platform.client.sessions.get(mine);
  if (session.spec) session.spec.sandboxId = sandbox.id;
  await platform.client.sessions.update(session);
  const forged = await a.turn(mine);
  expect(forged.sandbox.id).not.toBe(sandbox.id);
  expect(await forged.sandbox.files.exists("note")).toBe(false);
  await a.workspaces.remove({ sessionId: mine, sandboxId: sandbox.id });
  expect((await sandbox.execute("cat note")).stdout).toBe("private\n");
});

it("are removed with their session, also one whose runner died before it could store its id", async () => {
  const [a, b] = [await party("a"), await party("b")];
  const [id, other] = [await newSession(), await newSession()];
  const unstored = await a.workspaces.get(await platform.client.sessions.get(id), async (sandboxId) => sandboxId);
  await a.workspaces.dispose();
  const stored = await b.turn(id);
  expect(stored.sandbox.id).not.toBe(unstored.sandbox.id);
  await b.turn(other);
  expect(await containersOf(id)).toHaveLength(2);
  await b.workspaces.remove({ sessionId: id, sandboxId: stored.sandbox.id });
  expect(await containersOf(id)).toEqual([]);
  expect(await containersOf(other)).toHaveLength(1);
});

it("work while Redis is away, and are held again when it is back", async () => {
  const a = await party("a");
  const id = await newSession();
  await a.turn(id);
  const key = `stigmer:sandbox:${id}`;
  const token = await a.redis.commands.get(key);
  expect(token).toMatch(/^a\//);
  // Redis has lost what it held, and the connections with it.
  await a.redis.commands.del(key);
  await a.redis.commands.call("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "no");
  const again = await a.turn(id);
  expect((await again.sandbox.execute("echo still")).stdout).toBe("still\n");
  await until(async () => a.redis.connected && (await a.redis.commands.get(key)) === token);
});
