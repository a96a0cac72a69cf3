import { clone, create, equals } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  type AgentExecution,
  type AgentExecutionQueryController,
  AgentExecutionSchema,
  AgentExecutionStatusSchema,
} from "@stigmer/protos/agentexecution/v1";
import { pollList } from "./poll-list.ts";
import { reconnecting, type ReconnectOptions } from "./reconnecting.ts";

export interface WatchListOptions extends ReconnectOptions {
  /** How many of the newest runs to begin with, beside those under way. Default 50, at most 1,000. */
  readonly pageSize?: number;
  /** Milliseconds between two looks at the list, on a server that can't tell of it by itself. Default 2,000. */
  readonly pollEveryMs?: number;
}

/** Which runs are in the list. */
export interface ListFilter {
  readonly org: string;
  /** An id. */
  readonly agentId: string;
}

/** One step of a list of runs as its watcher sees it. */
export type ListUpdate =
  /** The run is new in the list, or has moved on. Of its status only phase, error, times and revision are there. */
  | { readonly kind: "changed"; readonly executionId: string; readonly execution: AgentExecution }
  /** The run was deleted, or is no longer in the list. */
  | { readonly kind: "removed"; readonly executionId: string }
  /** Every run that the list begins with has been told. Comes once. */
  | { readonly kind: "caught-up" };

/**
 * Follows a list of runs, without what is said in them, over broken connections and server restarts, until the watcher leaves.
 * After a break only what changed meanwhile is told. A server that has no `watchList` is asked for the list now and then.
 * Throws `ClientError`: `unauthenticated`, `cancelled`, or `unavailable` after `giveUpAfterMs`.
 */
export function watchList(
  client: Client<typeof AgentExecutionQueryController>,
  filter: ListFilter,
  options: WatchListOptions = {},
): AsyncGenerator<ListUpdate, void, undefined> {
  const { pageSize = 0 } = options;
  /** The list as the watcher knows it. */
  const rows = new Map<string, AgentExecution>();
  let isCaughtUp = false;
  let poll = false;

  function* change(execution: AgentExecution): Generator<ListUpdate> {
    const executionId = execution.metadata?.id ?? "";
    const row = summaryOf(execution);
    const known = rows.get(executionId);
    rows.set(executionId, row);
    if (!known || !equals(AgentExecutionSchema, known, row)) yield { kind: "changed", executionId, execution: row };
  }

  function* remove(executionIds: Iterable<string>): Generator<ListUpdate> {
    for (const executionId of executionIds) if (rows.delete(executionId)) yield { kind: "removed", executionId };
  }

  /** What was not told by now is gone. */
  function* catchUp(told: ReadonlySet<string>): Generator<ListUpdate> {
    yield* remove([...rows.keys()].filter((id) => !told.has(id)));
    if (!isCaughtUp) yield { kind: "caught-up" };
    isCaughtUp = true;
  }

  async function* watch(signal: AbortSignal, onHeader: () => void): AsyncGenerator<ListUpdate> {
    const told = new Set<string>();
    for await (const { event } of client.watchList({ ...filter, pageSize }, { signal, onHeader })) {
      if (event.case === "changed") {
        told.add(event.value.metadata?.id ?? "");
        yield* change(event.value);
      } else if (event.case === "deleted") {
        yield* remove([event.value]);
      } else if (event.case === "caughtUp") {
        yield* catchUp(told);
      }
    }
  }

  async function* look(signal: AbortSignal): AsyncGenerator<ListUpdate> {
    for await (const { told, executions } of pollList(client, { ...options, filter, rows, signal })) {
      for (const execution of executions) yield* change(execution);
      yield* catchUp(told);
    }
  }

  return reconnecting(options, {
    subject: "executions",
    open: (signal, onOpen) => (poll ? look(signal) : watch(signal, onOpen)),
    isComplete: () => false,
    fallBack: () => !poll && (poll = true),
  });
}

/** A run without what was said in it, from whatever server it comes. */
function summaryOf(execution: AgentExecution): AgentExecution {
  const { phase, error, startedAt, completedAt, revision } = execution.status ?? create(AgentExecutionStatusSchema);
  const row = clone(AgentExecutionSchema, { ...execution, status: undefined });
  row.status = create(AgentExecutionStatusSchema, { phase, error, startedAt, completedAt, revision });
  return row;
}
