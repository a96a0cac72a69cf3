import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { Client } from "pg";
import { afterEach, beforeEach, expect, test } from "vitest";

// The program itself, against a database of its own.

let home: string;
let database: { readonly name: string; readonly url: string };
let children: ChildProcess[];
beforeEach(async () => {
  children = [];
  home = await mkdtemp(join(tmpdir(), "stigmer-server-run-"));
  const name = `test_${randomBytes(6).toString("hex")}`;
  await asAdmin(`CREATE DATABASE ${name}`);
  const url = new URL(adminUrl());
  url.pathname = `/${name}`;
  database = { name, url: url.href };
});
afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  await asAdmin(`DROP DATABASE ${database.name} WITH (FORCE)`);
  await rm(home, { recursive: true, force: true });
});

function adminUrl(): string {
  const url = process.env["STIGMER_TEST_POSTGRES_URL"];
  if (!url)
    throw new Error("Set STIGMER_TEST_POSTGRES_URL to a Postgres that may be written to: pnpm test:system does.");
  return url;
}

async function asAdmin(text: string): Promise<void> {
  const client = new Client(adminUrl());
  await client.connect();
  await client.query(text).finally(() => client.end());
}

interface Server {
  readonly process: ChildProcess;
  /** Its first message. */
  readonly said: Promise<Readonly<Record<string, unknown>>>;
  readonly ended: Promise<{ readonly code: number | null; readonly stderr: string }>;
}

function start(env: Readonly<Record<string, string>>): Server {
  const main = join(import.meta.dirname, "../main.ts");
  const child = spawn(process.execPath, ["--conditions=@stigmer/source", main, "server", "run", "--port", "0"], {
    env: {
      PATH: process.env["PATH"],
      NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
      STIGMER_HOME: home,
      LOG_LEVEL: "ERROR",
      ...env,
    },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  children.push(child);
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const exit = Promise.all([once(child, "exit"), once(child.stderr as Readable, "end")]);
  return {
    process: child,
    said: once(child, "message").then(([message]) => message as Readonly<Record<string, unknown>>),
    ended: exit.then(([[code]]) => ({ code: code as number | null, stderr })),
  };
}

async function callAgents(method: string, port: unknown, body: object): Promise<unknown> {
  const key = (await readFile(join(home, "local.key"), "utf8")).trim();
  const [controller = "", name = ""] = method.split("/");
  const answer = await fetch(`http://127.0.0.1:${String(port)}/ai.stigmer.agentic.agent.v1.${controller}/${name}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify(body),
  });
  expect(answer.status).toBe(200);
  return answer.json();
}

test("keeps everything in the database that STIGMER_DATABASE_URL names, over kill -9", async () => {
  const first = start({ STIGMER_DATABASE_URL: database.url });
  const { port } = await first.said;
  const agent = { metadata: { name: "Greeter" }, spec: { instructions: "Greet whoever writes to you." } };
  const given = { apiVersion: "agentic.stigmer.ai/v1", kind: "Agent", ...agent };
  const { metadata } = (await callAgents("AgentCommandController/create", port, given)) as { metadata: { id: string } };
  first.process.kill("SIGKILL");
  await first.ended;

  const second = start({ STIGMER_DATABASE_URL: database.url });
  const told = await second.said;
  expect(told).toMatchObject({ type: "ready" });
  const found = await callAgents("AgentQueryController/get", told["port"], { value: metadata.id });
  expect(found).toMatchObject({ metadata: { slug: "greeter" } });
  expect(await readdir(join(home, "data"))).toEqual(["encryption.key"]);
  second.process.kill("SIGTERM");
  expect(await second.ended).toEqual({ code: 0, stderr: "" });
});

test("says in one line who has the database, and that it can't be reached, never with the password", async () => {
  const { password } = new URL(database.url);
  const first = start({ STIGMER_DATABASE_URL: database.url });
  await first.said;
  const nowhere = new URL(database.url);
  nowhere.port = "1";
  for (const [url, says] of [
    [database.url, /^Another Stigmer server uses the database 127\.0\.0\.1:\d+\/test_/],
    [nowhere.href, /^Postgres can't be reached at 127\.0\.0\.1:1\/test_.*STIGMER_DATABASE_URL\.\n$/],
  ] as const) {
    const { code, stderr } = await start({ STIGMER_DATABASE_URL: url }).ended;
    expect([code, stderr.trimEnd().split("\n").length]).toEqual([1, 1]);
    expect(stderr).toMatch(says);
    expect(stderr).not.toContain(password);
  }
});
