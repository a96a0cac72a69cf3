import { createClient } from "@stigmer/client";
import { type Homes, readBackend } from "@stigmer/config";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import type { DaemonState } from "../../daemon/daemon-state.ts";
import { processMemory } from "../../daemon/process-memory.ts";
import { faultOf, modelOf, nameOf, readModelSettings } from "../model/model-settings.ts";

/** What is asked of the system and of the server, beside what the daemon tells of itself. */
export interface DaemonDetails {
  /** In bytes, by process id. */
  readonly memory: ReadonlyMap<number, number>;
  readonly model: DefaultModel;
  /** Undefined when the server does not answer. */
  readonly queue?: Queue | undefined;
}

export interface DefaultModel {
  /** `provider:model`; undefined when there is none. */
  readonly name?: string;
  /** What is in its way, with what to do. */
  readonly fault?: string;
}

/** How many runs there are of which kind. More than a thousand are a thousand. */
export interface Queue {
  readonly waiting: number;
  readonly running: number;
  readonly waitingForApproval: number;
}

export async function readDetails(state: DaemonState, homes: Homes): Promise<DaemonDetails> {
  const [memory, model, queue] = await Promise.all([
    processMemory(state.processes.map(({ pid }) => pid)),
    modelOfDaemon(state, homes),
    queueOf(state, homes),
  ]);
  return { memory, model, queue };
}

/** The model of runs that name none, by what the runner was started with and what `config.yaml` says now. */
async function modelOfDaemon({ modelEnvironment = {} }: DaemonState, homes: Homes): Promise<DefaultModel> {
  try {
    const settings = await readModelSettings(
      { ...modelEnvironment, STIGMER_HOME: homes.home },
      { forModel: undefined },
    );
    const model = modelOf(settings);
    const fault = faultOf(model, settings);
    if (model.provider !== "none") return { name: nameOf(model), ...(fault !== undefined && { fault }) };
    // The runner keeps the keys that it was started with.
    return { fault: `${model.hint} Then \`stigmer local restart\`.` };
  } catch (error) {
    // A `config.yaml` that can't be read is what every run will meet.
    return { fault: (error as Error).message };
  }
}

const ANSWERS_WITHIN_MS = 3_000;
const MOST = 1_000;

async function queueOf({ endpoint }: DaemonState, homes: Homes): Promise<Queue | undefined> {
  if (endpoint === "") return undefined;
  const read = readBackend({ STIGMER_HOME: homes.home, STIGMER_BACKEND_ENDPOINT: endpoint });
  if (!read.ok) return undefined;
  const client = createClient({ ...read.backend, timeoutMs: ANSWERS_WITHIN_MS });
  const count = async (phase: ExecutionPhase): Promise<number> =>
    (await client.executions.list({ phase, pageSize: MOST })).items.length;
  try {
    const [waiting, running, waitingForApproval] = await Promise.all([
      count(ExecutionPhase.EXECUTION_PENDING),
      count(ExecutionPhase.EXECUTION_IN_PROGRESS),
      count(ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL),
    ]);
    return { waiting, running, waitingForApproval };
  } catch {
    return undefined;
  } finally {
    client.close();
  }
}
