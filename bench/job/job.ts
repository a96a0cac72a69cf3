// What a platform adds to one job of an agent: a file written, a command, an answer of some two hundred tokens. Held against deepagents
// called in this process, which keeps nothing, and told against the agent that our runner makes, called here: in turns with both.
import { randomUUID } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { create } from "@bufbuild/protobuf";
import { createAgent, type Agent, type AgentEvent } from "@stigmer/agent";
import { createClient, type StigmerClient } from "@stigmer/client";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { createSandbox, type Sandbox } from "@stigmer/sandbox";
import { packed } from "../packed.ts";
import { openModel, openPlatform } from "../recovery/processes.ts";
import type { Figure } from "../report.ts";
import { meterOf } from "../server/process-meter.ts";
import { ForgettingSaver } from "./forgetting-saver.ts";
import { jobScenario } from "./job-scenario.ts";
import { createPlainAgent } from "./plain-agent.ts";
import { type Seen, type Times, timesOf } from "./times-of.ts";

/** Until the compilers of all processes have seen what there is to see: with fewer, what is added falls from run to run. */
export const WARM_UP = 300;
const ROUNDS = 60;
/** Of throughput. */
export const RUNS = 200;
/** Of so many runs on each side, in turns. */
export const BATCHES = 5;
export const AT_ONCE = 16;

/** What ours is held against, and told against, by the names in the table. */
export const FLOORS = { plain: "deepagents in this process", direct: "our agent in this process" } as const;

type Floor = keyof typeof FLOORS;

export type Run = () => Promise<Times>;

/** Needs Node, pnpm and npm, and Linux's /proc. */
export function job(): Readonly<Record<string, () => Promise<Figure | readonly Figure[]>>> {
  return { single, throughput };
}

async function single(): Promise<readonly Figure[]> {
  await using bench = await openJob();
  for (const run of [bench.plain, bench.direct, bench.durable]) await many(run, WARM_UP);
  const ours: Times[] = [];
  const floors: Record<Floor, Times[]> = { plain: [], direct: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    // Each of them comes after ours, and ours after either.
    for (const floor of ["plain", "direct"] as const) {
      floors[floor].push(await bench[floor]());
      ours.push(await bench.durable());
    }
    if (round % 20 === 19) console.log(`a run of one job (${round + 1}/${ROUNDS})`);
  }
  const against = (floor: Floor, what: keyof Times): Pick<Figure, "samples" | "baseline"> => ({
    samples: ours.map((times) => times[what]),
    baseline: { name: FLOORS[floor], samples: floors[floor].map((times) => times[what]) },
  });
  const [whole, event, token] = ["a run, submit → completed", "submit → first event", "submit → first token"] as const;
  return [
    { name: whole, ...against("plain", "whole"), aimMs: 15 },
    { name: whole, ...against("direct", "whole") },
    { name: event, ...against("plain", "first"), aimMs: 10 },
    { name: token, ...against("plain", "token"), aimMs: 10 },
    { name: token, ...against("direct", "token") },
  ];
}

async function throughput(): Promise<readonly Figure[]> {
  await using bench = await openJob();
  await many(bench.durable, RUNS);
  const memory = bench.residentMiB();
  await many(bench.durable, WARM_UP - RUNS);
  for (const run of [bench.plain, bench.direct]) await many(run, WARM_UP);
  const [ours, plain, own]: [number[], number[], number[]] = [[], [], []];
  const growthBefore = await bytesBelow(bench.dataDir);
  const givenBefore = bench.diskBytes();
  for (let round = 0; round < BATCHES; round += 1) {
    plain.push(await many(bench.plain, RUNS));
    ours.push(await many(bench.durable, RUNS));
    own.push(await many(bench.direct, RUNS));
    console.log(`${RUNS} runs, ${AT_ONCE} at once (${round + 1}/${BATCHES})`);
  }
  const given = kibOfEach(bench.diskBytes() - givenBefore);
  const growth = kibOfEach((await bytesBelow(bench.dataDir)) - growthBefore);
  const memoryAtEnd = bench.residentMiB();
  const name = `milliseconds a run, ${AT_ONCE} at once, ${RUNS} runs on one runner`;
  return [
    // 0.85 of the runs in a second.
    { name, samples: ours, baseline: { name: FLOORS.plain, samples: plain }, aimRatio: 1 / 0.85 },
    { name, samples: ours, baseline: { name: FLOORS.direct, samples: own } },
    {
      name: "given to the disk by server and runner, for each run",
      unit: "KiB",
      samples: [given],
      baseline: { name: "what it may be", samples: [64] },
      aimRatio: 1,
    },
    {
      name: "left on the disk, of each run",
      unit: "KiB",
      samples: [growth],
      baseline: { name: "what may be given to it", samples: [64] },
    },
    {
      name: `memory of server and runner after ${RUNS} runs`,
      unit: "MiB",
      samples: [memory],
      baseline: { name: "what it may be", samples: [450] },
      aimRatio: 1,
    },
    {
      name: `memory of server and runner after ${BATCHES * RUNS + WARM_UP} runs`,
      unit: "MiB",
      samples: [memoryAtEnd],
      baseline: { name: `after ${RUNS}`, samples: [memory] },
    },
  ];
}

/** Of bytes for all batches: KiB for each of their runs. */
export function kibOfEach(bytes: number): number {
  return bytes / (BATCHES * RUNS) / 1_024;
}

/** Milliseconds for each of so many runs, so many at once. */
export async function many(run: Run, count: number): Promise<number> {
  let left = count;
  const startedAt = performance.now();
  const lane = async (): Promise<void> => {
    while (left-- > 0) await run();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return (performance.now() - startedAt) / count;
}

export interface JobBench extends AsyncDisposable {
  /** On the platform: server and runner are processes of their own, and each step is durable. */
  readonly durable: () => Promise<Times & { readonly id: string }>;
  /** deepagents here, as it comes. */
  readonly plain: Run;
  /** The agent that a runner makes, here, with nothing around it. */
  readonly direct: Run;
  readonly dataDir: string;
  residentMiB(): number;
  /** Bytes that server and runner had written to a disk. */
  diskBytes(): number;
  readonly modelUrl: string;
  /** Of the dev server, where there is one. */
  readonly temporalAddress: string;
}

/** On the embedded engine, or on Temporal's dev server by the command line that is named. */
export async function openJob(engine: { readonly temporal?: string } = {}): Promise<JobBench> {
  await using stack = new AsyncDisposableStack();
  const model = stack.use(await openModel(jobScenario));
  const platform = stack.use(
    await openPlatform({
      ...engine,
      modelUrl: model.url,
      programs: await packed(),
      runnerEnv: { TEMPORAL_MAX_CONCURRENCY: String(AT_ONCE) },
    }),
  );
  if (engine.temporal !== undefined) await platform.temporal();
  const server = meterOf((await platform.server()).child.pid);
  const runner = meterOf((await platform.runner()).child.pid);
  const apiKey = (await readFile(join(platform.home, "local.key"), "utf8")).trim();
  const client = stack.use(createClient({ endpoint: platform.endpoint, apiKey }));
  const header = { apiVersion: "agentic.stigmer.ai/v1", metadata: { name: "bench" } } as const;
  const spec = { instructions: "Do what the person asks." };
  await client.agents.apply(create(AgentSchema, { ...header, kind: "Agent", spec }));
  const folder = await mkdtemp(join(tmpdir(), "stigmer-bench-job-"));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  const owned = stack.move();
  return {
    durable: () => durable(client),
    plain: createPlainAgent({ folder, modelUrl: model.url }),
    direct: () => direct(folder, model.url),
    dataDir: join(platform.home, "data"),
    residentMiB: () => server.residentMiB() + runner.residentMiB(),
    diskBytes: () => server.diskBytes() + runner.diskBytes(),
    modelUrl: model.url,
    temporalAddress: platform.temporalAddress,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function durable(client: StigmerClient): Promise<Times & { readonly id: string }> {
  const startedAt = performance.now();
  let first = 0;
  let token = 0;
  let phase = "";
  const run = client.executions.run({ agent: "bench", message: "Go." });
  for await (const update of run) {
    const now = performance.now() - startedAt;
    // What the server says of the run before anybody works on it is no event of it.
    if (first === 0 && update.phase === "in-progress") first = now;
    if (token === 0 && update.text !== "") token = now;
    phase = update.phase;
  }
  if (phase !== "completed") throw new Error(`A run ended ${phase}.`);
  return { id: run.id, first, token, whole: performance.now() - startedAt };
}

async function direct(folder: string, modelUrl: string): Promise<Times> {
  const startedAt = performance.now();
  const id = randomUUID();
  // As a runner does: a sandbox and an agent for each run of a new session.
  const sandbox = await createSandbox({ type: "filesystem", rootDir: join(folder, id) });
  try {
    return await events(await agentIn(sandbox, { id, folder, modelUrl }), { id, startedAt });
  } finally {
    await sandbox.dispose();
  }
}

function agentIn(
  sandbox: Sandbox,
  { id, folder, modelUrl }: { readonly id: string; readonly folder: string; readonly modelUrl: string },
): Promise<Agent> {
  return createAgent({
    model: { provider: "anthropic", model: "claude-sonnet-4-5", apiKey: "key", baseUrl: modelUrl },
    sandbox,
    instructions: "Do what the person asks.",
    context: { workingDirectory: sandbox.root, date: "2026-11-22" },
    spillDirectory: join(folder, "spill", id),
    checkpointer: new ForgettingSaver(),
  });
}

async function events(agent: Agent, run: { readonly id: string; readonly startedAt: number }): Promise<Times> {
  const opened = await agent.open({ threadId: run.id, runId: run.id, input: "Go." });
  const read = ({ mode, data }: AgentEvent): Seen => {
    if (mode === "messages") return { text: textOf(data) };
    return { result: mode === "tools" && (data as { event?: string }).event === "on_tool_end" };
  };
  return timesOf(opened.events(), { name: "Our agent", startedAt: run.startedAt, read });
}

function textOf(data: unknown): string {
  const [message] = data as readonly [{ readonly text?: string }];
  return message.text ?? "";
}

async function bytesBelow(directory: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name)).catch(() => ({ size: 0 }))).size;
  }
  return bytes;
}
