// What ledger and checkpoint together add to a tool call: the same agent, the same calls, with both and with neither, in turns.
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { create } from "@bufbuild/protobuf";
import { createAgent, createSqliteCheckpointer, type AgentOptions } from "@stigmer/agent";
import { createClient, type StigmerClient } from "@stigmer/client";
import { createEmbeddedWorker } from "@stigmer/engine/embedded";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { AgentExecutionSchema, AgentExecutionStatusSchema, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { ToolCallClass } from "@stigmer/protos/runner/v1";
import { createSandbox } from "@stigmer/sandbox";
import type { ScenarioFile } from "@stigmer/scripted-model";
import { ForgettingSaver } from "../job/forgetting-saver.ts";
import type { Figure } from "../report.ts";
import { openModel, openPlatform } from "./processes.ts";

const CALLS = 20;
const ROUNDS = 30;
/** A runner is a process that lives long; until it has made some hundred calls, most of what is measured is its compiler. */
const WARM_UP = 25;

/** Twenty turns of one small write each. */
const scenario: ScenarioFile = {
  name: "ledger",
  scenarios: [
    {
      name: "many writes",
      turns: [
        ...Array.from({ length: CALLS }, (_, index) => ({
          toolCalls: [{ name: "write_file", args: { file_path: `file-${index}`, content: "content" } }],
        })),
        { text: "Done." },
      ],
    },
  ],
};

export async function ledgerCost(): Promise<Figure> {
  await using model = await openModel(scenario);
  const platform = await openPlatform({ modelUrl: model.url });
  const folder = await mkdtemp(join(tmpdir(), "stigmer-bench-ledger-"));
  try {
    await platform.server();
    const apiKey = (await readFile(join(platform.home, "local.key"), "utf8")).trim();
    using client = createClient({ endpoint: platform.endpoint, apiKey });
    return await underLease(client, async ({ executionId, fence }) => {
      const checkpointer = await createSqliteCheckpointer({ path: join(folder, "checkpoints.db") });
      const sandbox = await createSandbox({ type: "filesystem", rootDir: join(folder, "work") });
      const bare = {
        model: { provider: "anthropic", model: "claude-sonnet-4-5", apiKey: "key", baseUrl: model.url },
      } as const;
      const shared = {
        ...bare,
        sandbox,
        instructions: "Do what the person asks.",
        context: { workingDirectory: sandbox.root, date: "2026-11-21" },
        spillDirectory: join(folder, "spill"),
      };
      const samples: number[] = [];
      const baseline: number[] = [];
      const begin: number[] = [];
      const finish: number[] = [];
      try {
        for (let round = -WARM_UP; round < ROUNDS; round += 1) {
          const without = await perCall({ ...shared, checkpointer: new ForgettingSaver() });
          const spans = round < 0 ? {} : { begin, finish };
          const ledger = timed(serverLedger(client, { executionId, fence, prefix: `round ${round}` }), spans);
          const withBoth = await perCall({ ...shared, checkpointer, ledger });
          if (round < 0) continue;
          baseline.push(without);
          samples.push(withBoth);
          if (round % 10 === 9) console.log(`a tool call with ledger and checkpoint (${round + 1}/${ROUNDS})`);
        }
      } finally {
        await sandbox.dispose();
        checkpointer.close();
      }
      return {
        name: `a tool call with ledger and checkpoint on SQLite (${CALLS} calls a run)`,
        samples,
        baseline: { name: "the same call with neither", samples: baseline },
        aimMs: 5,
        spans: { "intent to the ledger and back": begin, "result to the ledger and back, beside the run": finish },
      };
    });
  } finally {
    await platform[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Milliseconds that a run takes, divided by its tool calls. */
async function perCall(options: AgentOptions): Promise<number> {
  const agent = await createAgent(options);
  const run = await agent.open({ threadId: randomUUID(), runId: randomUUID(), input: "Go." });
  const startedAt = performance.now();
  let results = 0;
  for await (const { mode, data } of run.events()) {
    if (mode === "tools" && (data as { event?: string }).event === "on_tool_end") results += 1;
  }
  const took = performance.now() - startedAt;
  if (results !== CALLS) throw new Error(`Expected ${CALLS} tool calls, saw ${results}.`);
  return took / CALLS;
}

/**
 * The server's ledger as a runner uses it, without what a runner does about a server that is away. The scripted model says the
 * same in each round; the prefix makes its calls new ones.
 */
function serverLedger(
  client: StigmerClient,
  { executionId, fence, prefix }: { readonly executionId: string; readonly fence: number; readonly prefix: string },
): NonNullable<AgentOptions["ledger"]> {
  const record = client.runner.recordRun();
  const classes = { repeatable: ToolCallClass.REPEATABLE, once: ToolCallClass.ONCE };
  return {
    async begin({ callKey, toolName, toolClass }) {
      const intent = {
        callKey: `${prefix}/${callKey}`,
        toolName,
        toolClass: classes[toolClass],
        requestId: randomUUID(),
      };
      const outcome = await record.beginToolCall({ executionId, fence, ...intent });
      if (outcome.case !== "started") throw new Error(`${callKey} was made before.`);
      return { kind: "started" };
    },
    async finish(callKey, result) {
      await record.finishToolCall({ executionId, fence, callKey: `${prefix}/${callKey}`, result });
    },
  };
}

/** Tells how long the calls of a ledger take. */
function timed(
  ledger: NonNullable<AgentOptions["ledger"]>,
  spans: { readonly begin?: number[]; readonly finish?: number[] },
): NonNullable<AgentOptions["ledger"]> {
  const taking = async <T>(span: number[] | undefined, work: Promise<T>): Promise<T> => {
    const startedAt = performance.now();
    const done = await work;
    span?.push(performance.now() - startedAt);
    return done;
  };
  return {
    begin: (intent, signal) => taking(spans.begin, ledger.begin(intent, signal)),
    finish: (callKey, result, signal) => taking(spans.finish, ledger.finish(callKey, result, signal)),
  };
}

/** Works as the runner of an execution, so that the server has a fence to hold intents against. */
async function underLease<T>(
  client: StigmerClient,
  work: (lease: { readonly executionId: string; readonly fence: number }) => Promise<T>,
): Promise<T> {
  const done = Promise.withResolvers<T>();
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const worker = createEmbeddedWorker({
    transport: client.transport,
    activities: {
      ensureThread: async (sessionId) => sessionId,
      executeGraphton: async (execution, _threadId, { fence }) => {
        await work({ executionId: execution.metadata?.id ?? "", fence }).then(done.resolve, done.reject);
        return create(AgentExecutionStatusSchema, { phase: ExecutionPhase.EXECUTION_COMPLETED });
      },
      cleanupSandbox: async () => {},
    },
    runnerId: randomUUID(),
    maxConcurrency: 1,
    version: "0.0.0",
    logger: quiet,
  });
  const running = worker.run();
  running.catch(done.reject);
  const header = { apiVersion: "agentic.stigmer.ai/v1", metadata: { name: "ledger" } } as const;
  const spec = { instructions: "Do what the person asks." };
  const agent = await client.agents.apply(create(AgentSchema, { ...header, kind: "Agent", spec }));
  await client.executions.create(
    create(AgentExecutionSchema, {
      ...header,
      kind: "AgentExecution",
      spec: { agentId: agent.metadata?.id, message: "Go." },
    }),
  );
  try {
    return await done.promise;
  } finally {
    await worker.drain({ deadlineMs: 5_000 });
  }
}
