// What those cost who do nothing at the moment: sessions that were left, and runs that wait for a person.
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type StigmerClient } from "@stigmer/client";
import { AgentSchema, type AgentSpecSchema, ApprovalAction } from "@stigmer/protos/agent/v1";
import { ExecutionPhase, ToolCallStatus } from "@stigmer/protos/agentexecution/v1";
import type { ScenarioFile } from "@stigmer/scripted-model";
import { openModel, openPlatform, type PlatformOptions, type Process } from "../recovery/processes.ts";
import type { Figure } from "../report.ts";
import { meterOf } from "../server/process-meter.ts";

const SESSIONS = 1_000;
const APPROVALS = 200;
/** Runs before anything is measured: pools and compilers have what they take then. */
const WARM_UP = 100;
const AT_ONCE = 16;
/** Far fewer than wait: were one slot held, not all of them would come as far as waiting. */
const SLOTS = 4;
const QUICK_RUNS = 40;
const SETTLE_MS = 3_000;
/** Sessions are idle when they were left, not at the end of a run: V8 gives back what it holds too much some eight seconds later. */
const REST_MS = 15_000;

const scenario: ScenarioFile = {
  name: "sessions",
  scenarios: [
    {
      name: "a command that a person is asked for",
      match: { human: "Ask first" },
      turns: [{ toolCalls: [{ name: "execute", args: { command: "true" } }] }, { text: "Done." }],
    },
    { name: "a message", turns: [{ text: "Hello." }] },
  ],
};

/** Needs Node, and Linux's /proc. */
export function sessions(): Readonly<Record<string, () => Promise<readonly Figure[]>>> {
  return { idle, approvals };
}

async function idle(): Promise<readonly Figure[]> {
  await using model = await openModel(scenario);
  await using folder = await temporaryFolder();
  const collected = (name: string): Record<string, string> => ({
    NODE_OPTIONS: `--expose-gc --import=${new URL("collector.ts", import.meta.url).href}`,
    STIGMER_BENCH_LIVE: join(folder.path, name),
  });
  await using bench = await open({
    modelUrl: model.url,
    serverEnv: collected("server"),
    runnerEnv: collected("runner"),
  });
  const { server, runner } = bench;
  const look = async (): Promise<Record<"live" | "resident", number>> => {
    await sleep(REST_MS);
    const resident = [server, runner].reduce((sum, { child }) => sum + meterOf(child.pid).residentMiB(), 0) * 2 ** 20;
    const lives = [await live(server, join(folder.path, "server")), await live(runner, join(folder.path, "runner"))];
    return { live: lives.reduce((sum, bytes) => sum + bytes, 0), resident };
  };
  await messages(bench.client, WARM_UP);
  const before = await look();
  await messages(bench.client, SESSIONS);
  const after = await look();
  const each = (of: "live" | "resident"): number => (after[of] - before[of]) / SESSIONS / 1_024;
  return [
    {
      name: `what lives of each of ${SESSIONS} idle sessions, in server and runner`,
      unit: "KiB",
      samples: [each("live")],
      baseline: { name: "what it may be", samples: [50] },
      aimRatio: 1,
    },
    {
      name: "memory that the processes hold more, for each of them",
      unit: "KiB",
      samples: [each("resident")],
      baseline: { name: "what it may be", samples: [50] },
      aimRatio: 1,
    },
  ];
}

async function approvals(): Promise<readonly Figure[]> {
  await using model = await openModel(scenario);
  await using bench = await open({
    modelUrl: model.url,
    runnerEnv: { TEMPORAL_MAX_CONCURRENCY: String(SLOTS) },
  });
  const { client } = bench;
  await messages(client, WARM_UP);
  const alone = await quickRuns(client);
  const waiting: Waiting[] = [];
  await lanes(APPROVALS, async () => void waiting.push(await untilWaiting(client)));
  const held = await count(client, ExecutionPhase.EXECUTION_IN_PROGRESS);
  const beside = await quickRuns(client);
  const startedAt = performance.now();
  await lanes(APPROVALS, async (index) => {
    const { id, callId } = waiting[index] ?? { id: "", callId: "" };
    await client.executions.resolveApproval(id, callId, { decision: "approve" });
    const { phase, error } = await (await client.executions.attach(id)).result();
    if (phase !== "completed") throw new Error(`A run that was approved ended ${phase}: ${error}`);
  });
  const each = (performance.now() - startedAt) / APPROVALS;
  return [
    {
      name: `slots of the runner that ${APPROVALS} waiting approvals hold`,
      unit: `of ${SLOTS}`,
      samples: [held],
      baseline: { name: "none", samples: [0] },
      aimMs: 0,
    },
    {
      name: `a run beside ${APPROVALS} waiting approvals`,
      samples: beside,
      baseline: { name: "without them", samples: alone },
      aimRatio: 1.2,
    },
    {
      name: `approved → completed, ${APPROVALS} of them, each`,
      samples: [each],
      baseline: { name: "a run of one message", samples: alone },
    },
  ];
}

interface Waiting {
  readonly id: string;
  readonly callId: string;
}

/** Starts a run, and leaves it where it waits for a person. */
async function untilWaiting(client: StigmerClient): Promise<Waiting> {
  const run = client.executions.run({ agent: "asks", message: "Ask first." });
  for await (const { phase, status } of run) {
    const call = status.toolCalls.find((each) => each.status === ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL);
    if (phase === "waiting-for-approval" && call) return { id: run.id, callId: call.id };
  }
  throw new Error("A run ended that was to wait for approval.");
}

async function count(client: StigmerClient, phase: ExecutionPhase): Promise<number> {
  return (await client.executions.list({ phase, pageSize: 1_000 })).items.length;
}

/** Runs of one message, each in a session of its own. */
async function messages(client: StigmerClient, howMany: number): Promise<void> {
  await lanes(howMany, async () => void (await message(client)));
}

async function quickRuns(client: StigmerClient): Promise<readonly number[]> {
  const samples: number[] = [];
  for (let run = 0; run < QUICK_RUNS; run += 1) samples.push(await message(client));
  return samples;
}

/** How many milliseconds it took. */
async function message(client: StigmerClient): Promise<number> {
  const startedAt = performance.now();
  const { phase, error } = await client.executions.run({ agent: "bench", message: "Hello." }).result();
  if (phase !== "completed") throw new Error(`A run ended ${phase}: ${error}`);
  return performance.now() - startedAt;
}

async function lanes(howMany: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < howMany; index = next++) await work(index);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

/** What lives in a process, in bytes, once it does nothing any more. */
async function live({ child }: Process, file: string): Promise<number> {
  await sleep(SETTLE_MS);
  await rm(file, { force: true });
  child.kill("SIGUSR2");
  while (!existsSync(file)) await sleep(10);
  return Number(await readFile(file, "utf8"));
}

interface Bench extends AsyncDisposable {
  readonly client: StigmerClient;
  readonly server: Process;
  readonly runner: Process;
}

/** A platform with two agents: `bench` does as it is told, `asks` asks before each tool. */
async function open(options: PlatformOptions): Promise<Bench> {
  await using stack = new AsyncDisposableStack();
  const platform = stack.use(await openPlatform(options));
  const server = await platform.server();
  const runner = await platform.runner();
  const apiKey = (await readFile(join(platform.home, "local.key"), "utf8")).trim();
  const client = stack.use(createClient({ endpoint: platform.endpoint, apiKey }));
  const instructions = "Do what the person asks.";
  await apply(client, "bench", { instructions });
  await apply(client, "asks", { instructions, approvalPolicy: { otherwise: ApprovalAction.ASK } });
  const owned = stack.move();
  return { client, server, runner, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function apply(
  client: StigmerClient,
  name: string,
  spec: MessageInitShape<typeof AgentSpecSchema>,
): Promise<void> {
  const header = { apiVersion: "agentic.stigmer.ai/v1", kind: "Agent", metadata: { name } } as const;
  await client.agents.apply(create(AgentSchema, { ...header, spec }));
}

async function temporaryFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "stigmer-bench-sessions-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
