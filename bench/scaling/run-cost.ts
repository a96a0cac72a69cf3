// What one run of two tool calls costs server, runner and Postgres: real processes, a scripted model, databases of their own.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@stigmer/client";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import type { ScenarioFile } from "@stigmer/scripted-model";
import { freePort, openModel, openPlatform } from "../recovery/processes.ts";
import type { Figure } from "../report.ts";
import { meterOf } from "../server/process-meter.ts";
import { createDatabases } from "./databases.ts";

const WARM_UP = 10;
const RUNS = 20;

export const scenario: ScenarioFile = {
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
  await client.agents.apply(create(AgentSchema, { ...header, kind: "Agent", spec }));
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
  ];
}
