import { randomBytes } from "node:crypto";
import { type ScriptedModel, startScriptedModel } from "@stigmer/scripted-model";
import { createClient, type StigmerClient } from "@stigmer/client";
import { Client } from "pg";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { type Result, type Started, until } from "../stigmer.ts";
import { applyAgents, scenario } from "./agents.ts";
import { makeCertificate } from "./certificates.ts";
import { type Effects, startEffects } from "./effects.ts";
import { type Ground, openGround } from "./ground.ts";
import { findPort } from "./services.ts";

// One server and one runner over TLS, two organisations, the real command line: what goes away under them comes back, and nothing is lost.

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let ground: Ground;
let effects: Effects;
let model: ScriptedModel;
let server: Awaited<ReturnType<Ground["startServer"]>>;
let runner: Started;
let caFile: string;
let serve: (env?: Readonly<Record<string, string>>) => ReturnType<Ground["startServer"]>;
const keys = new Map<string, string>();
const clients: StigmerClient[] = [];
beforeAll(async () => {
  ground = await openGround();
  effects = await startEffects();
  model = await startScriptedModel({ scenario });
  const certificate = await makeCertificate(ground.folder, "ours");
  ({ caFile } = certificate);
  const port = String(await findPort());
  const flags = ["--tls-cert", certificate.certFile, "--tls-key", certificate.keyFile, "--port", port];
  serve = (env) => ground.startServer(env, ...flags);
  server = await serve();
  for (const org of ["acme", "globex"]) keys.set(org, await ground.createKey("--org", org, "--role", "owner"));
  for (const org of keys.keys()) await applyAgents(clientOf(org), effects.url);
  runner = await startRunner();
});
afterAll(async () => {
  for (const client of clients) client.close();
  runner?.process.kill("SIGTERM");
  await runner?.result;
  await ground?.[Symbol.asyncDispose]();
  await effects?.[Symbol.asyncDispose]();
  await model?.close();
});

async function startRunner(): Promise<Started> {
  const apiKey = await ground.createKey("--role", "runner", "--expires", "never");
  const started = ground.runner({
    ...ground.runnerEnv({ endpoint: server.endpoint, apiKey }),
    STIGMER_TLS_CA_FILE: caFile,
    ANTHROPIC_API_KEY: "scripted-model-key",
    ANTHROPIC_BASE_URL: model.url,
  });
  await started.printed("Worker ready");
  return started;
}

function clientOf(org: string): StigmerClient {
  const { endpoint } = server;
  const client = createClient({ endpoint, org, apiKey: keys.get(org) ?? "", ca: readFileSync(caFile, "utf8") });
  clients.push(client);
  return client;
}

function stigmer(org: string, ...args: string[]): Promise<Result> {
  return ground.stigmer(args, {
    STIGMER_HOME: `${ground.folder}/person`,
    STIGMER_BACKEND_ENDPOINT: server.endpoint,
    STIGMER_TLS_CA_FILE: caFile,
    STIGMER_API_KEY: keys.get(org) ?? "",
  }).result;
}

const ready = async (): Promise<string> => {
  const url = /^Health: +(?<url>http:\S+)\/healthz/m.exec(runner.output())?.groups?.["url"];
  const response = await fetch(`${url}/readyz`);
  return `${response.status} ${(await response.text()).trim()}`;
};
const timesSaid = (words: string): number => server.part.printed().split(words).length - 1;
/** Of the effects of this name those that did not happen exactly once. */
const notOnce = (name: string): [string, number][] =>
  [...effects.counts].filter(([entry, count]) => entry.startsWith(`${name}/`) && count !== 1);

async function untilInProgress(client: StigmerClient, id: string): Promise<void> {
  for await (const { phase } of client.executions.watch(id)) if (phase === "in-progress") return;
  throw new Error(`${id} has ended.`);
}

it("runs for two organisations, and tells neither of the other's", async () => {
  const ids: string[] = [];
  for (const org of ["acme", "globex"]) {
    const { exitCode, stdout, stderr } = await stigmer(
      org,
      "run",
      "bookkeeper",
      `Book three entries #${org}`,
      "--json",
    );
    expect(exitCode, stderr).toBe(0);
    const last = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as { executionId: string; output: string };
    expect(last.output).toBe(`The entries of ${org} are booked.`);
    ids.push(last.executionId);
    expect(notOnce(org)).toEqual([]);
  }
  for (const [own, foreign, org] of [
    [ids[0], ids[1], "acme"],
    [ids[1], ids[0], "globex"],
  ] as const) {
    const { stdout } = await stigmer(org, "list", "executions", "-o", "json");
    expect(stdout).toContain(own);
    expect(stdout).not.toContain(foreign);
    const logs = await stigmer(org, "execution", "logs", foreign ?? "");
    expect([logs.exitCode, logs.stdout]).toEqual([1, ""]);
    expect(logs.stderr).toMatch(/^\S[^\n]+\n$/);
  }
});

it("does without Redis, says so once, and has it back by itself", async () => {
  const client = clientOf("acme");
  const before = client.executions.run({ agent: "bookkeeper", message: "Go on for long #before" });
  await before.execution;
  await untilInProgress(client, before.id);
  const [away, back] = [timesSaid("Redis is away"), timesSaid("Redis is back")];
  await ground.parts.redis.stop();
  await until(async () => (await ready()) === "200 ok, degraded: Redis is away");
  await until(async () => timesSaid("Redis is away") > away);

  // What a person wants of a run comes to it all the same.
  const cancelled = client.executions.run({ agent: "bookkeeper", message: "Go on for long #cancelled" });
  await cancelled.execution;
  await untilInProgress(client, cancelled.id);
  await client.executions.cancel(cancelled.id, "enough");
  expect(await cancelled.result()).toMatchObject({ phase: "cancelled", error: "enough" });
  const during = await stigmer("acme", "run", "bookkeeper", "Book three entries #during");
  expect(during, during.stderr).toMatchObject({ exitCode: 0 });
  expect(await before.result()).toMatchObject({ phase: "completed", output: "The end of before." });
  expect(timesSaid("Redis is away")).toBe(away + 1);

  await ground.parts.redis.start();
  await until(async () => (await ready()) === "200 ok");
  await until(async () => timesSaid("Redis is back") === back + 1);
  const after = await stigmer("acme", "run", "bookkeeper", "Book three entries #after");
  expect(after, after.stderr).toMatchObject({ exitCode: 0 });
  for (const name of ["before", "cancelled", "during", "after"]) expect(notOnce(name)).toEqual([]);
});

it("answers in one line while Postgres is away, and goes on with what was under way", async () => {
  const client = clientOf("acme");
  const run = client.executions.run({ agent: "bookkeeper", message: "Go on for long #database" });
  await run.execution;
  await untilInProgress(client, run.id);
  await ground.parts.postgres.stop();
  const { exitCode, stdout, stderr } = await stigmer("acme", "get", "agents");
  expect([exitCode, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^\S[^\n]{10,300}\n$/);
  expect(stderr).toContain("database");
  await ground.parts.postgres.start();
  expect(await run.result()).toMatchObject({ phase: "completed", output: "The end of database." });
  expect(notOnce("database")).toEqual([]);
  expect(server.part.ends).toEqual([]);
  expect(server.part.printed()).not.toMatch(/unhandled|\n\s+at /i);
});

it("says of a secret that an earlier key sealed that it can't be opened", async () => {
  const client = clientOf("acme");
  await client.agents.apply({
    metadata: { name: "keeper" },
    spec: {
      instructions: "You keep what you are given.",
      envSpec: { data: { TOKEN: { value: "hush-hush", isSecret: true } } },
    },
  });
  await server.part.stop();
  // As the server says to whose key is lost.
  const database = new Client(ground.urlOf("servers"));
  await database.connect();
  await database.query("DELETE FROM settings WHERE name = 'encryption-key'");
  await database.end();
  server = await serve({ STIGMER_ENCRYPTION_KEY: randomBytes(32).toString("base64") });
  const { exitCode, stderr } = await stigmer("acme", "run", "keeper", "Keep a file #lost");
  expect(exitCode).toBe(1);
  expect(stderr).toContain(
    "The secret TOKEN can't be decrypted: the encryption key is not the one it was stored with. Give it anew.",
  );
  expect(stderr).not.toMatch(/\n\s+at |node:internal|hush-hush/);
  // Given anew, it is there again.
  await clientOf("acme").agents.apply({
    metadata: { name: "keeper" },
    spec: {
      instructions: "You keep what you are given.",
      envSpec: { data: { TOKEN: { value: "new", isSecret: true } } },
    },
  });
  const again = await stigmer("acme", "run", "keeper", "Keep a file #found");
  expect(again, again.stderr).toMatchObject({ exitCode: 0 });
});

it("ends a runner whose key is revoked in the middle of a run, which goes on with the next one", async () => {
  const client = clientOf("acme");
  const keysOfAll = await ground.stigmer(["server", "list-keys"], ground.serverEnv).result;
  const [, id = ""] = /^runner +(key-\w+)/m.exec(keysOfAll.stdout) ?? [];
  const run = client.executions.run({ agent: "bookkeeper", message: "Go on for long #revoked" });
  await run.execution;
  await until(async () => effects.counts.has("revoked/long-0"));
  const revoked = await ground.stigmer(["server", "revoke-key", id], ground.serverEnv).result;
  expect(revoked, revoked.stderr).toMatchObject({ exitCode: 0 });

  const { exitCode, stderr } = await runner.result;
  expect(exitCode, runner.output()).toBe(1);
  expect(stderr.trimEnd().split("\n").at(-1)).toMatch(/the API key is not known here.*STIGMER_API_KEY/);
  runner = await startRunner();
  expect(await run.result()).toMatchObject({ phase: "completed", output: "The end of revoked." });
  expect(notOnce("revoked")).toEqual([]);
});
