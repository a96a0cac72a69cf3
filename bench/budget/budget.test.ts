// What does not depend on the machine is held to a budget: what a start loads, what a run asks of the databases, sends and allocates.
// Times are the bench's.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { createClient, type StigmerClient } from "@stigmer/client";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { expect, it } from "vitest";
import type { ScenarioFile } from "@stigmer/scripted-model";
import { jobScenario } from "../job/job-scenario.ts";
import { freePort, openModel, openPlatform, type Process } from "../recovery/processes.ts";
import budget from "./budget.json" with { type: "json" };

const RUNS = 10;
const WARM_UP = 3;
const RECORDER = new URL("./recorder.ts", import.meta.url);
const CLI = join(import.meta.dirname, "../../apps/cli/src/main.ts");

/** Answers that differ in their length alone. */
const TALKS = 3;
const TALK_EVENTS = { short: 200, long: 2_200 };
const CHUNK = 4;
/** What says nothing can't be sent shorter. */
const talkOf = (events: number): string =>
  Array.from({ length: events }, (_, index) =>
    createHash("sha256").update(String(index)).digest("base64url").slice(0, CHUNK),
  ).join("");
const scenario: ScenarioFile = {
  ...jobScenario,
  defaults: { chunkSize: CHUNK },
  scenarios: [
    ...Object.entries(TALK_EVENTS).map(([name, events]) => ({
      name,
      match: { human: name },
      turns: [{ text: talkOf(events) }],
    })),
    ...jobScenario.scenarios,
  ],
};

interface Counts {
  readonly modules: number;
  readonly statements: number;
  readonly boundBytes: number;
  readonly messages: number;
  readonly sentBytes: number;
  readonly allocatedBytes: number;
}

/**
 * Deltas and checkpoints are cut by time, so that a slow machine sends and writes a few more; of modules a dependency may bring a few
 * in a newer version.
 */
const ROOM: Readonly<Record<string, number>> = { "a run of one job": 1.25, "an event of a run": 1.25 };
const ROOM_OF_START = 1.05;
/** Below this part of it, a budget no longer says what things cost: then it is lowered. */
const LEAST = 0.6;

it(
  "a start loads, and a run asks of the databases, sends and allocates, no more than the budget has",
  { timeout: 180_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "stigmer-budget-"));
    try {
      const spent = {
        "stigmer --version": { modules: (await versionCounts(folder)).modules },
        ...(await platform(folder)),
      };
      const over = Object.entries(budget).flatMap(([what, figures]) =>
        Object.entries(figures).flatMap(([figure, allowed]) => {
          const took = (spent as Record<string, Record<string, number>>)[what]?.[figure] ?? Number.NaN;
          if (took <= allowed * (ROOM[what] ?? ROOM_OF_START) && took >= allowed * LEAST) return [];
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
  },
);

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
  await using model = await openModel(scenario);
  await using relay = await openRelay(model.url);
  await using platform = await openPlatform({
    modelUrl: relay.url,
    serverEnv: { ...recorded(files.server), STIGMER_METRICS_PORT: String(metricsPort) },
    runnerEnv: recorded(files.runner),
  });
  const server = await platform.server();
  const runner = await platform.runner();
  const look = async () => ({
    server: await countsOf(server, files.server),
    runner: await countsOf(runner, files.runner),
    calls: await sumOf("stigmer_server_calls_total", metricsPort),
    entries: await sumOf("stigmer_server_run_entries_total", metricsPort),
  });
  const atStart = await look();
  const apiKey = (await readFile(join(platform.home, "local.key"), "utf8")).trim();
  using client = createClient({ endpoint: platform.endpoint, apiKey });
  const header = { apiVersion: "agentic.stigmer.ai/v1", metadata: { name: "bench" } } as const;
  await client.agents.apply(
    create(AgentSchema, { ...header, kind: "Agent", spec: { instructions: "Do what the person asks." } }),
  );
  await runs(client, "Go.", WARM_UP);
  const before = await look();
  await runs(client, "Go.", RUNS);
  const after = await look();
  const each = (of: (look: typeof after) => number): number => (of(after) - of(before)) / RUNS;
  await runs(client, "long", WARM_UP);
  const talks = [await look()];
  for (const talk of ["short", "long"]) {
    await runs(client, talk, TALKS);
    talks.push(await look());
  }
  const eachEvent = (of: (look: typeof after) => number): number => {
    const [start, middle, end] = talks.map(of) as [number, number, number];
    return (end - middle - (middle - start)) / TALKS / (TALK_EVENTS.long - TALK_EVENTS.short);
  };
  return {
    "the server, ready": { modules: atStart.server.modules },
    "the runner, polling": { modules: atStart.runner.modules },
    "a run of one job": {
      "the server's calls": each(({ calls }) => calls),
      "the entries of its stream": each(({ entries }) => entries),
      "the server's statements": each(({ server }) => server.statements),
      "the server's bytes to SQLite": each(({ server }) => server.boundBytes),
      "the server's messages": each(({ server }) => server.messages),
      "the server's KiB allocated": each(({ server }) => server.allocatedBytes) / 1_024,
      "the runner's statements": each(({ runner }) => runner.statements),
      "the runner's bytes to SQLite": each(({ runner }) => runner.boundBytes),
      "the runner's messages": each(({ runner }) => runner.messages),
      "the runner's KiB allocated": each(({ runner }) => runner.allocatedBytes) / 1_024,
    },
    "an event of a run": {
      "the server's bytes sent": eachEvent(({ server }) => server.sentBytes),
      "the runner's bytes sent": eachEvent(({ runner }) => runner.sentBytes),
      "the runner's bytes allocated": eachEvent(({ runner }) => runner.allocatedBytes),
    },
  };
}

/**
 * Ends the lines of a model's answer as HTTP does. Then none of its pieces are joined: how many come together depends on the
 * machine, and it is one of them by itself that has a budget.
 */
async function openRelay(modelUrl: string): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer(async (request, response) => {
    const { method, headers, url } = request;
    const asked = { method: method ?? "GET", headers: headers as Record<string, string>, body: await text(request) };
    const answer = await fetch(modelUrl + url, asked);
    const answered = (await answer.text()).replaceAll("\n", "\r\n");
    response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" }).end(answered);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function runs(client: StigmerClient, message: string, count: number): Promise<void> {
  for (let run = 0; run < count; run += 1) {
    const live = client.executions.run({ agent: "bench", message });
    // Somebody watches: all of it is sent.
    for await (const _ of live);
    const { phase, error } = await live.result();
    if (phase !== "completed") throw new Error(`A run ended ${phase}: ${error}`);
  }
}

async function countsOf({ child }: Process, file: string): Promise<Counts> {
  await rm(file, { force: true });
  child.kill("SIGUSR2");
  while (!existsSync(file)) await sleep(10);
  return JSON.parse(await readFile(file, "utf8")) as Counts;
}

/** A counter's, over all its labels. */
async function sumOf(counter: string, port: number): Promise<number> {
  const exposed = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const counts = exposed.matchAll(/^(?<name>\w+)\{[^}]*\} (?<count>\d+)/gm);
  return [...counts].reduce((sum, { groups }) => sum + (groups?.["name"] === counter ? Number(groups["count"]) : 0), 0);
}
