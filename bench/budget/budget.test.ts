// What does not depend on the machine is held to a budget: what a start loads, what a run asks of the databases. Times are the bench's.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { createClient, type StigmerClient } from "@stigmer/client";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { expect, it } from "vitest";
import { jobScenario } from "../job/job-scenario.ts";
import { freePort, openModel, openPlatform, type Process } from "../recovery/processes.ts";
import budget from "./budget.json" with { type: "json" };

const RUNS = 10;
const WARM_UP = 3;
const RECORDER = new URL("./recorder.ts", import.meta.url);
const CLI = join(import.meta.dirname, "../../apps/cli/src/main.ts");

interface Counts {
  readonly modules: number;
  readonly statements: number;
  readonly boundBytes: number;
}

/** Deltas are cut by time, so that a slow machine sends a few more; of modules a dependency may bring a few in a newer version. */
const ROOM = { run: 1.25, start: 1.05 };
/** Below this part of it, a budget no longer says what things cost: then it is lowered. */
const LEAST = 0.6;

it("a start loads, and a run asks of the databases, no more than the budget has", { timeout: 180_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-budget-"));
  try {
    const spent = {
      "stigmer --version": { modules: (await versionCounts(folder)).modules },
      ...(await platform(folder)),
    };
    const over = Object.entries(budget).flatMap(([what, figures]) =>
      Object.entries(figures).flatMap(([figure, allowed]) => {
        const took = (spent as Record<string, Record<string, number>>)[what]?.[figure] ?? Number.NaN;
        if (took <= allowed * (what === "a run of one job" ? ROOM.run : ROOM.start) && took >= allowed * LEAST)
          return [];
        return [`${what}: ${figure}: ${Math.round(took)}, and the budget has ${allowed}`];
      }),
    );
    expect(
      over,
      "Bring it down; or write into bench/budget/budget.json what it costs now, and say in the commit why.",
    ).toEqual([]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

async function versionCounts(folder: string): Promise<Counts> {
  const file = join(folder, "version.json");
  const env = { PATH: process.env["PATH"], STIGMER_BENCH_COUNTS: file, HOME: folder };
  const args = [`--import=${RECORDER.href}`, "--conditions=@stigmer/source", CLI, "--version"];
  await promisify(execFile)(process.execPath, args, { env });
  return JSON.parse(await readFile(file, "utf8")) as Counts;
}

async function platform(folder: string): Promise<Record<string, Record<string, number>>> {
  const metricsPort = await freePort();
  const files = { server: join(folder, "server.json"), runner: join(folder, "runner.json") };
  const recorded = (file: string) => ({ NODE_OPTIONS: `--import=${RECORDER.href}`, STIGMER_BENCH_COUNTS: file });
  await using model = await openModel(jobScenario);
  await using platform = await openPlatform({
    modelUrl: model.url,
    serverEnv: { ...recorded(files.server), STIGMER_METRICS_PORT: String(metricsPort) },
    runnerEnv: recorded(files.runner),
  });
  const server = await platform.server();
  const runner = await platform.runner();
  const look = async (): Promise<{ server: Counts; runner: Counts; calls: number }> => ({
    server: await countsOf(server, files.server),
    runner: await countsOf(runner, files.runner),
    calls: await callsOf(metricsPort),
  });
  const atStart = await look();
  const apiKey = (await readFile(join(platform.home, "local.key"), "utf8")).trim();
  using client = createClient({ endpoint: platform.endpoint, apiKey });
  const header = { apiVersion: "agentic.stigmer.ai/v1", metadata: { name: "bench" } } as const;
  await client.agents.apply(
    create(AgentSchema, { ...header, kind: "Agent", spec: { instructions: "Do what the person asks." } }),
  );
  await runs(client, WARM_UP);
  const before = await look();
  await runs(client, RUNS);
  const after = await look();
  const each = (of: (look: typeof after) => number): number => (of(after) - of(before)) / RUNS;
  return {
    "the server, ready": { modules: atStart.server.modules },
    "the runner, polling": { modules: atStart.runner.modules },
    "a run of one job": {
      "the server's calls": each(({ calls }) => calls),
      "the server's statements": each(({ server }) => server.statements),
      "the server's bytes to SQLite": each(({ server }) => server.boundBytes),
      "the runner's statements": each(({ runner }) => runner.statements),
      "the runner's bytes to SQLite": each(({ runner }) => runner.boundBytes),
    },
  };
}

async function runs(client: StigmerClient, count: number): Promise<void> {
  for (let run = 0; run < count; run += 1) {
    const { phase, error } = await client.executions.run({ agent: "bench", message: "Go." }).result();
    if (phase !== "completed") throw new Error(`A run ended ${phase}: ${error}`);
  }
}

async function countsOf({ child }: Process, file: string): Promise<Counts> {
  await rm(file, { force: true });
  child.kill("SIGUSR2");
  while (!existsSync(file)) await sleep(10);
  return JSON.parse(await readFile(file, "utf8")) as Counts;
}

async function callsOf(port: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const counts = text.matchAll(/^stigmer_server_calls_total\{[^}]*\} (?<count>\d+)/gm);
  return [...counts].reduce((sum, { groups }) => sum + Number(groups?.["count"]), 0);
}
