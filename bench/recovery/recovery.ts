// How long a run stands still when a process dies, and what it costs per tool call that nothing is done twice.
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { create } from "@bufbuild/protobuf";
import { createClient, type StigmerClient } from "@stigmer/client";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import { SessionSchema } from "@stigmer/protos/session/v1";
import { startScriptedModel, type ScenarioFile, type ScriptedModel } from "@stigmer/scripted-model";
import { given, type Parts } from "../parts.ts";
import type { Figure } from "../report.ts";
import { ledgerCost } from "./ledger-cost.ts";
import { openPlatform, type Platform, type PlatformOptions } from "./processes.ts";
import { until } from "./until.ts";

const API_VERSION = "agentic.stigmer.ai/v1";
/** How long Temporal lets a lost runner have, by default. */
const HEARTBEAT_TIMEOUT_MS = 15_000;

// A command that takes as long as it is made to, then an answer.
const scenario: ScenarioFile = {
  name: "recovery",
  scenarios: [
    {
      name: "one long command",
      turns: [
        {
          toolCalls: [{ name: "execute", args: { command: "touch started; while [ ! -e go ]; do sleep 0.02; done" } }],
        },
        { text: "Done." },
      ],
    },
  ],
};

/** Needs nothing but Node for the embedded engine; Temporal is measured when `STIGMER_TEST_TEMPORAL` names its command line. */
export function recovery(): Parts {
  const temporal = process.env["STIGMER_TEST_TEMPORAL"];
  const patience = { name: "the engine's patience with a silent runner", samples: [HEARTBEAT_TIMEOUT_MS] };
  const lost = { name: "temporal", temporal, repeat: 3, baseline: patience, aimMs: 2_000 };
  const allowed = { name: "what it may be", samples: [1_000] };
  return {
    "runner-loss": () => runnerLoss({ name: "embedded", repeat: 10, baseline: allowed, aimRatio: 1 }),
    "server-return": () => serverReturn({ name: "embedded", repeat: 5 }),
    ledger: ledgerCost,
    "runner-loss-temporal": given(["STIGMER_TEST_TEMPORAL"], () => runnerLoss(lost)),
  };
}

interface RunnerLoss extends Pick<Figure, "name" | "baseline" | "aimMs" | "aimRatio"> {
  readonly temporal?: string;
  readonly repeat: number;
}

/** From the death of a runner in the middle of a command until the next runner asks the model how to go on. */
async function runnerLoss({ name, temporal, repeat, ...heldAgainst }: RunnerLoss): Promise<Figure> {
  const samples: number[] = [];
  await using bench = await openBench({ temporal });
  const { platform, model } = bench;
  let working = await platform.runner();
  for (let round = 0; round < repeat; round += 1) {
    const folder = await bench.submit();
    await until(() => existsSync(join(folder, "started")), "the command");
    // Standing by before the other dies: what is measured is the engine, not the start of a process.
    const next = await platform.runner();
    const asked = model.requests.length;
    const killedAt = performance.now();
    await working.kill();
    await until(() => model.requests.length > asked, "the next model call", 120);
    samples.push(performance.now() - killedAt);
    working = next;
    progress(`${name}: runner lost`, round, repeat);
  }
  return { ...heldAgainst, name: `${name}: kill -9 of the runner → resumed by the next`, samples };
}

/** From the moment that a killed server is back until the run, which waits for it, goes on. */
async function serverReturn({ name, repeat }: { readonly name: string; readonly repeat: number }): Promise<Figure> {
  const samples: number[] = [];
  const starts: number[] = [];
  await using bench = await openBench({});
  const { platform, model } = bench;
  await platform.runner();
  for (let round = 0; round < repeat; round += 1) {
    const folder = await bench.submit();
    await until(() => existsSync(join(folder, "started")), "the command");
    const asked = model.requests.length;
    await bench.server.kill();
    await writeFile(join(folder, "go"), "");
    const startedAt = performance.now();
    bench.server = await platform.server();
    const readyAt = performance.now();
    await until(() => model.requests.length > asked, "the next model call", 60);
    starts.push(readyAt - startedAt);
    // It may have gone on before the server had said that it is ready.
    samples.push(performance.now() - startedAt);
    progress(`${name}: server lost`, round, repeat);
  }
  const baseline = { name: "start of the server itself", samples: starts };
  return { name: `${name}: start of the killed server → run goes on`, samples, baseline, aimMs: 2_000 };
}

interface Bench extends AsyncDisposable {
  readonly platform: Platform;
  readonly model: ScriptedModel;
  server: Awaited<ReturnType<Platform["server"]>>;
  /** Starts a run in a folder of its own, which is answered. */
  submit(): Promise<string>;
}

async function openBench(options: Pick<PlatformOptions, "temporal">): Promise<Bench> {
  const model = await startScriptedModel({ scenario, keepRequests: 10_000 });
  const platform = await openPlatform({ modelUrl: model.url, ...options });
  const folders = await mkdtemp(join(tmpdir(), "stigmer-bench-work-"));
  if (options.temporal) await platform.temporal();
  const server = await platform.server();
  const client = createClient({
    endpoint: platform.endpoint,
    apiKey: (await readFile(join(platform.home, "local.key"), "utf8")).trim(),
  });
  const instanceId = await applyAgent(client);
  let runs = 0;
  return {
    platform,
    model,
    server,
    async submit() {
      const folder = await mkdtemp(join(folders, "run-"));
      runs += 1;
      const session = await client.sessions.create(
        create(SessionSchema, {
          apiVersion: API_VERSION,
          kind: "Session",
          metadata: { name: `bench ${runs}` },
          spec: { agentInstanceId: instanceId, workspaceDir: folder },
        }),
      );
      await client.executions.create(
        create(AgentExecutionSchema, {
          apiVersion: API_VERSION,
          kind: "AgentExecution",
          metadata: { name: `bench ${runs}` },
          spec: { sessionId: session.metadata?.id, message: "Go." },
        }),
      );
      return folder;
    },
    async [Symbol.asyncDispose]() {
      client.close();
      await platform[Symbol.asyncDispose]();
      await model.close();
      await rm(folders, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

async function applyAgent(client: StigmerClient): Promise<string> {
  const agent = await client.agents.apply(
    create(AgentSchema, {
      apiVersion: API_VERSION,
      kind: "Agent",
      metadata: { name: "bench" },
      spec: { instructions: "Do what the person asks." },
    }),
  );
  return agent.status?.defaultInstanceId ?? "";
}

function progress(what: string, round: number, of: number): void {
  console.log(`${what} (${round + 1}/${of})`);
}
