// What an organisation notices of another one that floods the server both share.
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { createClient, type StigmerClient } from "@stigmer/client";
import { type Agent, AgentSchema } from "@stigmer/protos/agent/v1";
import { AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import { Client } from "pg";
import { quantile, type Figure } from "../report.ts";
import { postgresUrl } from "../scaling/postgres-url.ts";
import type { CloudServer, Limits } from "./cloud-server.program.ts";
import type { Flooded, Noisy } from "./noisy.program.ts";
import { meterOf } from "./process-meter.ts";
import { openProgram, type Program } from "./program.ts";
import type { StandInRunner } from "./stand-in-runner.program.ts";

/** What `stigmer server run` has in cloud mode when nobody says otherwise. */
const LIMITS: Limits = { callsPerSecond: 50, callBurst: 100, maxRuns: 100, maxWaitingRuns: 10_000 };

const CALLS_PER_SECOND = 20;
const RUNS_PER_SECOND = 5;

const CONNECTIONS = 16;
const CALLS_EACH = 4;
/** As short as a run with a model can be. */
const NOISY_RUN_MS = 4_000;
/** So many runs of the noisy organisation wait before anything is measured; hundreds more come in each noisy phase. */
const WAITING = 500;

/** Each of a quiet phase, two noisy ones, and a quiet one. */
const ROUNDS = 3;
const SETTLE_MS = 1_000;
/** Long enough that a p95 is more than the second slowest of twenty runs. */
const PHASE_MS = 10_000;

const QUIET = "quiet";
const NOISY = "noisy";
const header = { apiVersion: "agentic.stigmer.ai/v1", metadata: { name: "bench" } } as const;

interface Phase {
  readonly calls: number;
  readonly leased: number;
  /** Of the server, of a CPU. */
  readonly busy: number;
}

export async function neighbours(): Promise<readonly Figure[]> {
  await using stack = new AsyncDisposableStack();
  const home = await mkdtemp(join(tmpdir(), "stigmer-bench-"));
  stack.defer(() => rm(home, { recursive: true, force: true }));
  const databaseUrl = await ownDatabase(stack);
  const server = stack.use(openProgram<CloudServer>(new URL("./cloud-server.program.ts", import.meta.url)));
  const runner = stack.use(openProgram<StandInRunner>(new URL("./stand-in-runner.program.ts", import.meta.url)));
  const noisy = stack.use(openProgram<Noisy>(new URL("./noisy.program.ts", import.meta.url)));
  const cloud = await server.ask("open", { home, databaseUrl, orgs: [QUIET, NOISY], limits: LIMITS });
  const { endpoint } = cloud;
  await runner.ask("open", { endpoint, apiKey: cloud.runnerKey, concurrency: 2 * LIMITS.maxRuns, prompt: QUIET });
  await noisy.ask("open", {
    endpoint,
    apiKey: cloud.keys[NOISY] ?? "",
    connections: CONNECTIONS,
    callsEach: CALLS_EACH,
  });
  const client = stack.use(createClient({ endpoint, apiKey: cloud.keys[QUIET] ?? "" }));
  const spec = { instructions: "Do what the person asks." };
  const agent = await client.agents.apply(create(AgentSchema, { ...header, kind: "Agent", spec }));
  const agentId = agent.metadata?.id ?? "";

  const meter = meterOf(cloud.pid);
  const phase = async (): Promise<Phase> => {
    await sleep(SETTLE_MS);
    const before = meter.cpuMs();
    const [calls, submitted] = await Promise.all([callAtPace(client, agent), submitAtPace(client, agentId)]);
    const busy = (meter.cpuMs() - before) / PHASE_MS;
    const leased = await waitsOf(submitted, runner);
    return { calls: quantile(calls, 0.95), leased: quantile(leased, 0.95), busy };
  };
  const flooded: Flooded[] = [];
  const flood = async <T>(work: () => Promise<T>): Promise<T> => {
    await runner.ask("work", { runMs: NOISY_RUN_MS });
    await noisy.ask("begin", undefined);
    const result = await work();
    flooded.push(await noisy.ask("end", undefined));
    await runner.ask("work", {});
    return result;
  };

  // The first phases are the compiler's. The queue is filled while no run goes on.
  await phase();
  await noisy.ask("begin", undefined);
  for (let waiting = 0; waiting < WAITING; waiting = await server.ask("waiting", undefined)) {
    console.log(`${waiting} runs of the noisy organisation wait`);
    await sleep(5_000);
  }
  await noisy.ask("end", undefined);
  await flood(phase);

  const quietPhases: Phase[] = [];
  const noisyPhases: Phase[] = [];
  flooded.length = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    quietPhases.push(await phase());
    noisyPhases.push(await flood(phase), await flood(phase));
    quietPhases.push(await phase());
    const inWords = (phases: readonly Phase[]): string =>
      phases
        .map(({ calls, leased, busy }) => `${calls.toFixed(1)} ${leased.toFixed(1)} (${busy.toFixed(2)})`)
        .join(", ");
    console.log(
      `p95 of calls, of waits, ms (the server's CPU), ${round + 1}/${ROUNDS}: ` +
        `${inWords(noisyPhases.slice(-2))} with the noisy one, ${inWords(quietPhases.slice(-2))} without`,
    );
  }
  const sum = (of: keyof Flooded): number => flooded.reduce((total, each) => total + each[of], 0);
  const waiting = await server.ask("waiting", undefined);
  console.log(
    `The noisy one's calls: ${sum("taken")} taken, ${sum("runs")} of them runs, and ${sum("refused")} refused; ` +
      `${await runner.ask("ended", undefined)} of its runs ended, ${waiting} wait`,
  );
  await server.ask("close", undefined);
  const spans = {
    "the server's CPU in a second of a noisy phase": noisyPhases.map(({ busy }) => busy * 1_000),
    "in a second of a quiet one": quietPhases.map(({ busy }) => busy * 1_000),
  };
  const figure = (name: string, part: "calls" | "leased"): Figure => ({
    name: `p95 of a quiet organisation's ${name}, of a phase with a noisy one`,
    samples: noisyPhases.map((each) => each[part]),
    baseline: { name: "the phases without", samples: quietPhases.map((each) => each[part]) },
    aimRatio: 1.5,
    spans: part === "calls" ? spans : {},
  });
  return [figure("calls", "calls"), figure("wait from `create` of a run to its lease", "leased")];
}

/** Milliseconds of each call, which are made when they are due, whether or not the one before was answered. */
async function callAtPace(client: StigmerClient, agent: Agent): Promise<number[]> {
  const agentId = agent.metadata?.id ?? "";
  const agentInstanceId = agent.status?.defaultInstanceId ?? "";
  const calls: (() => Promise<unknown>)[] = [
    () => client.agents.get(agentId),
    () => client.executions.list({ pageSize: 20 }),
    () => client.agents.list({ pageSize: 20 }),
    () => {
      const metadata = { name: randomBytes(6).toString("hex") };
      return client.sessions.create(
        create(SessionSchema, { ...header, metadata, kind: "Session", spec: { agentInstanceId } }),
      );
    },
  ];
  return atPace(CALLS_PER_SECOND, async (turn) => {
    const startedAt = performance.now();
    await calls[turn % calls.length]?.();
    return performance.now() - startedAt;
  });
}

/** When each run was sent, by its id. */
async function submitAtPace(client: StigmerClient, agentId: string): Promise<ReadonlyMap<string, bigint>> {
  const input = { ...header, kind: "AgentExecution", spec: { agentId, message: "Go." } } as const;
  const sent = await atPace(RUNS_PER_SECOND, async () => {
    const at = process.hrtime.bigint();
    const { metadata } = await client.executions.create(create(AgentExecutionSchema, input));
    return [metadata?.id ?? "", at] as const;
  });
  return new Map(sent);
}

async function atPace<T>(perSecond: number, work: (turn: number) => Promise<T>): Promise<T[]> {
  const everyMs = 1_000 / perSecond;
  // Neither steps in time with the server's own timers.
  const startedAt = performance.now() + Math.random() * everyMs;
  const under: Promise<T>[] = [];
  for (let turn = 0; turn * everyMs < PHASE_MS; turn += 1) {
    await sleep(Math.max(0, startedAt + turn * everyMs - performance.now()));
    under.push(work(turn));
  }
  return Promise.all(under);
}

/** Milliseconds from each run's sending to its coming to the runner. */
async function waitsOf(sent: ReadonlyMap<string, bigint>, runner: Program<StandInRunner>): Promise<number[]> {
  const come = new Map<string, bigint>();
  while (sent.size > [...sent.keys()].filter((id) => come.has(id)).length) {
    for (const [id, at] of await runner.ask("come", undefined)) come.set(id, at);
    await sleep(20);
  }
  return [...sent].map(([id, at]) => Number((come.get(id) ?? at) - at) / 1e6);
}

/** An empty database, which goes when the measurement does. */
async function ownDatabase(stack: AsyncDisposableStack): Promise<string> {
  const name = `bench_${randomBytes(6).toString("hex")}`;
  const ask = async (text: string): Promise<void> => {
    const client = new Client(postgresUrl());
    await client.connect();
    await client.query(text).finally(() => client.end());
  };
  await ask(`CREATE DATABASE ${name}`);
  stack.defer(() => ask(`DROP DATABASE ${name} WITH (FORCE)`));
  const url = new URL(postgresUrl());
  url.pathname = `/${name}`;
  return url.href;
}
