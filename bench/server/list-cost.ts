// What a server answers when a hundred thousand runs are stored, against one with a thousand: both run, and are asked in turns.
import { execFile } from "node:child_process";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { create } from "@bufbuild/protobuf";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { AgentExecutionSchema } from "@stigmer/protos/agentexecution/v1";
import type { ListExecutionsInput } from "@stigmer/client";
import type { Figure } from "../report.ts";
import { openServer, type OpenedServer } from "./opened-server.ts";

const MANY = 100_000;
const FEW = 1_000;
const PAGE_SIZE = 50;
const WARM_UP = 20;
const ROUNDS = 100;

const FILL = fileURLToPath(
  new URL("../../packages/server/src/store/sqlite/__fixtures__/fill-executions.ts", import.meta.url),
);

interface Filled extends AsyncDisposable {
  readonly server: OpenedServer;
  /** An agent that new runs can be of. */
  readonly newAgentId: string;
  /** An agent, a session and runs that are stored, all with more than a page of others beside them. */
  readonly stored: { readonly agentId: string; readonly sessionId: string; readonly ids: readonly string[] };
}

/** Asks once; `round` counts. */
type Question = (filled: Filled, round: number) => Promise<void>;

export async function listCost(): Promise<readonly Figure[]> {
  const startedAt = performance.now();
  await using many = await openFilled(MANY);
  await using few = await openFilled(FEW);
  console.log(`${MANY} and ${FEW} runs are stored, after ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`);
  const figures: Figure[] = [];
  for (const [name, question] of Object.entries(questions)) {
    const samples: number[] = [];
    const baseline: number[] = [];
    const cpu = { many: 0, few: 0 };
    for (let round = -WARM_UP; round < ROUNDS; round += 1) {
      const askMany = async (): Promise<void> => {
        const took = await timed(() => question(many, round + WARM_UP));
        if (round >= 0) samples.push(took);
      };
      const askFew = async (): Promise<void> => {
        const took = await timed(() => question(few, round + WARM_UP));
        if (round >= 0) baseline.push(took);
      };
      if (round === 0) Object.assign(cpu, { many: many.server.meter.cpuMs(), few: few.server.meter.cpuMs() });
      for (const ask of round % 2 === 0 ? [askFew, askMany] : [askMany, askFew]) await ask();
    }
    const spans = {
      [`the server's CPU with ${MANY} runs`]: [(many.server.meter.cpuMs() - cpu.many) / ROUNDS],
      [`the server's CPU with ${FEW} runs`]: [(few.server.meter.cpuMs() - cpu.few) / ROUNDS],
    };
    console.log(`${name}: ${ROUNDS} times with ${MANY} runs stored, and with ${FEW}`);
    const against = { name: `with ${FEW}`, samples: baseline };
    figures.push({ name: `${name}, with ${MANY} runs stored`, samples, baseline: against, aimRatio: 2, spans });
  }
  return figures;
}

const questions: Readonly<Record<string, Question>> = {
  "a page of all runs": page(() => ({})),
  "a page of a session's runs": page(({ stored }) => ({ sessionId: stored.sessionId })),
  "a page of an agent's runs": page(({ stored }) => ({ agentId: stored.agentId })),
  "a page of failed runs": page(() => ({ phase: "failed" })),
  "a page of runs with a tag": page(() => ({ tags: ["nightly"] })),
  "a page of runs with a label": page(() => ({ labels: { team: "platform" } })),
  "a run by its id": async ({ server, stored }, round) => {
    // Far from each other, so that no page of the database has been looked at before.
    await server.client.executions.get(stored.ids[(round * 389) % stored.ids.length] ?? "");
  },
  "a new run": async ({ server, newAgentId }) => {
    await server.client.executions.create(
      create(AgentExecutionSchema, {
        ...header("AgentExecution"),
        spec: { agentId: newAgentId, message: "Look through the last change and say what is wrong with it." },
      }),
    );
  },
};

function page(inputOf: (filled: Filled) => ListExecutionsInput): Question {
  return async (filled) => {
    const { items } = await filled.server.client.executions.list({ ...inputOf(filled), pageSize: PAGE_SIZE });
    if (items.length !== PAGE_SIZE) throw new Error(`Expected a page of ${PAGE_SIZE} runs, got ${items.length}.`);
  };
}

async function openFilled(count: number): Promise<Filled> {
  let stored: Filled["stored"] | undefined;
  const server = await openServer(async (dataDir) => {
    const args = ["--conditions=@stigmer/source", FILL, dataDir, String(count)];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    stored = JSON.parse(stdout) as Filled["stored"];
  });
  try {
    const spec = { instructions: "Do what the person asks." };
    const agent = await server.client.agents.apply(create(AgentSchema, { ...header("Agent"), spec }));
    const newAgentId = agent.metadata?.id ?? "";
    if (!stored) throw new Error("Nothing was stored.");
    return { server, newAgentId, stored, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

function header<K extends string>(kind: K): { apiVersion: string; kind: K; metadata: { name: string } } {
  return { apiVersion: "agentic.stigmer.ai/v1", kind, metadata: { name: "bench" } };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
