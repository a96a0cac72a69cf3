// What one run of two tool calls costs server, runner and Postgres, and what an idle session costs the server's memory: real
// processes, a scripted model, databases of their own.
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@stigmer/client";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import type { ScenarioFile } from "@stigmer/scripted-model";
import { Client } from "pg";
import { freePort, openModel, openPlatform } from "../recovery/processes.ts";
import type { Figure } from "../report.ts";
import { meterOf } from "../server/process-meter.ts";
import { postgresUrl } from "./postgres-url.ts";

const WARM_UP = 10;
const RUNS = 20;
const SESSIONS = 1_000;

const scenario: ScenarioFile = {
  name: "run cost",
  scenarios: [
    {
      name: "two writes",
      turns: [
        ...["first", "second"].map((name) => ({
          text: `I write the ${name} file, and say so in a sentence of some length, as models do.`,
          toolCalls: [{ name: "write_file", args: { file_path: name, content: "content ".repeat(100) } }],
        })),
        { text: "Both files are written. ".repeat(20) },
      ],
    },
  ],
};

export async function runCost(): Promise<readonly Figure[]> {
  await using databases = await createDatabases();
  await using model = await openModel(scenario);
  const metricsPort = await freePort();
  await using platform = await openPlatform({
    modelUrl: model.url,
    serverEnv: { STIGMER_DATABASE_URL: databases.store.url, STIGMER_METRICS_PORT: String(metricsPort) },
    runnerEnv: { STIGMER_CHECKPOINT_URL: databases.checkpoints.url },
  });
  const server = meterOf((await platform.server()).child.pid);
  const runner = meterOf((await platform.runner()).child.pid);
  const apiKey = (await readFile(join(platform.home, "local.key"), "utf8")).trim();
  using client = createClient({ endpoint: platform.endpoint, apiKey });
  const header = { apiVersion: "agentic.stigmer.ai/v1", metadata: { name: "bench" } };
  const spec = { instructions: "Do what the person asks." };
  const agent = await client.agents.apply(create(AgentSchema, { ...header, kind: "Agent", spec }));
  const run = async (): Promise<void> => {
    const { phase, error } = await client.executions.run({ agent: "bench", message: "Write two files." }).result();
    if (phase !== "completed") throw new Error(`A run ended ${phase}: ${error}`);
  };
  const calls = async (): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
    const counts = text.matchAll(/^stigmer_server_calls_total\{[^}]*\} (?<count>\d+)/gm);
    return [...counts].reduce((sum, { groups }) => sum + Number(groups?.["count"]), 0);
  };
  const look = async () => ({
    server: server.cpuMs(),
    runner: runner.cpuMs(),
    calls: await calls(),
    store: await databases.store.measure(),
    checkpoints: await databases.checkpoints.measure(),
  });
  for (let count = 0; count < WARM_UP; count++) await run();
  const before = await look();
  for (let count = 0; count < RUNS; count++) await run();
  const after = await look();
  const [idleBefore, instanceId] = [server.residentMiB(), agent.status?.defaultInstanceId ?? ""];
  for (let count = 0; count < SESSIONS; count++) {
    const metadata = { name: `idle ${count}` };
    await client.sessions.create(
      create(SessionSchema, { ...header, metadata, kind: "Session", spec: { agentInstanceId: instanceId } }),
    );
  }
  const idle = ((server.residentMiB() - idleBefore) * 1_024) / SESSIONS;

  const per = (name: string, unit: string, total: number): Figure => {
    const samples = [total / RUNS];
    return { name: `${name}, for each run of two tool calls`, unit, samples, baseline: { name: "itself", samples } };
  };
  return [
    per("the server's CPU", "ms", after.server - before.server),
    per("the runner's CPU", "ms", after.runner - before.runner),
    per("calls to the server", "calls", after.calls - before.calls),
    per("rows in the servers' database", "rows", after.store.rows - before.store.rows),
    per("the servers' database", "B", after.store.bytes - before.store.bytes),
    per("its write-ahead log, the checkpoints' included", "B", after.checkpoints.wal - before.checkpoints.wal),
    per("rows in the checkpoints' database", "rows", after.checkpoints.rows - before.checkpoints.rows),
    per("the checkpoints' database", "B", after.checkpoints.bytes - before.checkpoints.bytes),
    {
      name: `the server's memory, for each of ${SESSIONS} sessions that were made and are idle`,
      unit: "KiB",
      samples: [idle],
      baseline: { name: "itself", samples: [idle] },
    },
  ];
}

interface Database {
  readonly url: string;
  measure(): Promise<{ readonly rows: number; readonly bytes: number; readonly wal: number }>;
}

interface Databases extends AsyncDisposable {
  readonly store: Database;
  readonly checkpoints: Database;
}

async function createDatabases(): Promise<Databases> {
  const ask = async (url: string, text: string): Promise<Record<string, unknown>[]> => {
    const client = new Client(url);
    await client.connect();
    return client.query<Record<string, unknown>>(text).then(
      ({ rows }) => client.end().then(() => rows),
      async (error: unknown) => {
        await client.end();
        throw error;
      },
    );
  };
  const names: string[] = [];
  const make = async (): Promise<Database> => {
    const name = `bench_${randomBytes(6).toString("hex")}`;
    await ask(postgresUrl(), `CREATE DATABASE ${name}`);
    names.push(name);
    const url = new URL(postgresUrl());
    url.pathname = `/${name}`;
    return {
      url: url.href,
      measure: async () => {
        const tables = await ask(
          url.href,
          "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT LIKE 'pg_%' AND schemaname <> 'information_schema'",
        );
        const counts = tables.map(({ name: table }) => `(SELECT count(*) FROM ${String(table)})`).join(" + ") || "0";
        const [row] = await ask(
          url.href,
          `SELECT (${counts})::int AS rows, pg_database_size(current_database())::float8 AS bytes, (pg_current_wal_lsn() - '0/0')::float8 AS wal`,
        );
        return { rows: Number(row?.["rows"]), bytes: Number(row?.["bytes"]), wal: Number(row?.["wal"]) };
      },
    };
  };
  return {
    store: await make(),
    checkpoints: await make(),
    async [Symbol.asyncDispose]() {
      for (const name of names) await ask(postgresUrl(), `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}
