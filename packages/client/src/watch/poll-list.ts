import type { Client } from "@connectrpc/connect";
import {
  type AgentExecution,
  type AgentExecutionQueryController,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { isTerminal } from "@stigmer/status";
import { ClientError } from "../errors.ts";
import { sleep } from "./reconnecting.ts";

export interface PollListOptions {
  readonly filter: { readonly org: string; readonly agentId: string };
  readonly pageSize?: number;
  readonly pollEveryMs?: number;
  /** What the watcher knows. */
  readonly rows: ReadonlyMap<string, AgentExecution>;
  readonly signal: AbortSignal;
}

/** What one look found. */
export interface Look {
  readonly executions: readonly AgentExecution[];
  /** The ids of all that are in the list now. */
  readonly told: ReadonlySet<string>;
}

const UNDER_WAY = [
  ExecutionPhase.EXECUTION_PENDING,
  ExecutionPhase.EXECUTION_IN_PROGRESS,
  ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL,
  ExecutionPhase.EXECUTION_PAUSED,
];

/** Looks at the list now and then. An older server may not know the filters, so they are applied here too. */
export async function* pollList(
  client: Client<typeof AgentExecutionQueryController>,
  { filter, pageSize = 0, pollEveryMs = 2_000, rows, signal }: PollListOptions,
): AsyncGenerator<Look, void, undefined> {
  const { org, agentId } = filter;
  const isMeant = ({ metadata, spec }: AgentExecution): boolean =>
    (org === "" || metadata?.org === org) && (agentId === "" || spec?.agentId === agentId);

  async function list(phase?: ExecutionPhase): Promise<{ executions: AgentExecution[]; oldest: string }> {
    const { entries, nextPageToken } = await client.list({ ...filter, phase, pageSize }, { signal });
    const isFull = nextPageToken !== "" || entries.length >= (pageSize || 50);
    // Ids grow with time.
    const oldest = isFull ? (entries.map(({ metadata }) => metadata?.id ?? "").sort()[0] ?? "") : "";
    return { executions: entries.filter(isMeant), oldest };
  }

  /** One that has left the newest page: it may go on all the same. */
  async function find(id: string): Promise<AgentExecution | undefined> {
    try {
      return await client.get({ value: id }, { signal });
    } catch (error) {
      if (ClientError.from(error, id).code === "not-found") return undefined;
      throw error;
    }
  }

  for (let isFirst = true; ; isFirst = false) {
    const found = new Map<string, AgentExecution>();
    const add = (execution: AgentExecution | undefined): void => {
      if (execution) found.set(execution.metadata?.id ?? "", execution);
    };
    if (isFirst) for (const phase of UNDER_WAY) for (const execution of (await list(phase)).executions) add(execution);
    // The page comes last: what it says is newer.
    const { executions, oldest } = await list();
    for (const execution of executions) add(execution);
    for (const [id, { status }] of rows) {
      if (!found.has(id) && status && !isTerminal(status.phase)) add(await find(id));
    }
    // What has ended and is older than the page was not deleted for all that is known.
    const pushedOut = isFirst ? [] : [...rows.keys()].filter((id) => id < oldest && !found.has(id));
    const told = new Set([...found.keys(), ...pushedOut]);
    yield { executions: [...found.values()], told };
    await sleep(pollEveryMs, signal);
    signal.throwIfAborted();
  }
}
