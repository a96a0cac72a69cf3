import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";

// In a process of its own, as its daemon starts it.

let home: string;
let children: ChildProcess[];
beforeEach(async () => {
  children = [];
  home = await mkdtemp(join(tmpdir(), "stigmer-server-run-"));
});
afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  await rm(home, { recursive: true, force: true });
});

interface Server {
  readonly process: ChildProcess;
  readonly said: unknown[];
  readonly ended: Promise<{ code: number | null; signal: string | null; stderr: string }>;
}

function start({ port = 0, env = {} }: { port?: number; env?: Record<string, string> } = {}): Server {
  const main = join(import.meta.dirname, "../main.ts");
  const child = spawn(
    process.execPath,
    ["--conditions=@stigmer/source", main, "server", "run", "--port", String(port)],
    {
      env: {
        PATH: process.env["PATH"],
        NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
        STIGMER_HOME: home,
        LOG_LEVEL: "ERROR",
        ...env,
      },
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    },
  );
  children.push(child);
  const said: unknown[] = [];
  child.on("message", (message) => said.push(message));
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  // Not "close": Node does not tell it of a child whose channel the parent has closed.
  const exit = Promise.all([once(child, "exit"), once(child.stderr as Readable, "end")]);
  const ended = exit.then(([[code, signal]]) => ({ code, signal, stderr }));
  return { process: child, said, ended };
}

test.each(["SIGTERM", "SIGINT"] as const)("tells its port, and ends well by %s", async (signal) => {
  const server = start();
  await once(server.process, "message");
  expect(server.said).toEqual([{ type: "ready", port: expect.any(Number) }]);
  server.process.kill(signal);
  expect(await server.ended).toEqual({ code: 0, signal: null, stderr: "" });
});

test("ends with the daemon that started it", async () => {
  const server = start();
  await once(server.process, "message");
  server.process.disconnect();
  expect(await server.ended).toMatchObject({ code: 0 });
});

test("ends also when its daemon was gone before it had loaded what would notice", async () => {
  const server = start();
  server.process.disconnect();
  expect(await server.ended).toMatchObject({ code: 0 });
});

test("says in one line what is in the way", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const { port } = other.address() as { port: number };
  try {
    const server = start({ port });
    const { code, stderr } = await server.ended;
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^Port \d+ on 127\.0\.0\.1 is in use.*\n$/)]);
    expect(server.said).toEqual([{ type: "failed", message: stderr.trimEnd() }]);
  } finally {
    other.close();
  }
});

test.each([
  [{ STIGMER_DATABASE_URL: "/elsewhere/stigmer.db" }, "unset STIGMER_DATABASE_URL"],
  [
    {
      MODE: "cloud",
      STIGMER_DATABASE_URL: "postgres://127.0.0.1:1/x",
      STIGMER_ENCRYPTION_KEY: "00".repeat(32),
      TEMPORAL_SERVICE_ADDRESS: "127.0.0.1:1",
      TEMPORAL_NAMESPACE: "default",
      REDIS_HOST: "127.0.0.1",
      REDIS_PORT: "1",
    },
    "Failed to connect to Redis: 127.0.0.1:1: ",
  ],
  [{ STIGMER_DATABASE_URL: "postgres://127.0.0.1:1/x" }, "Postgres can't be reached at 127.0.0.1:1/x"],
  [{ STIGMER_ENGINE: "temporal" }, "Missing required environment variable: TEMPORAL_SERVICE_ADDRESS"],
  [
    { TEMPORAL_SERVICE_ADDRESS: "127.0.0.1:1" },
    "Failed to connect to Temporal: Temporal can't be reached at 127.0.0.1:1 (",
  ],
  [{ STIGMER_ENCRYPTION_KEY: "short" }, "STIGMER_ENCRYPTION_KEY"],
])("refuses what it can't do: %j", async (env, says) => {
  const server = start({ env });
  const { code, stderr } = await server.ended;
  expect([code, stderr.trimEnd().split("\n").length]).toEqual([1, 1]);
  expect(stderr).toContain(says);
  expect(server.said).toEqual([{ type: "failed", message: stderr.trimEnd() }]);
});
