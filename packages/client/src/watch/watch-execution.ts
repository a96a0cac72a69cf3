import type { Client } from "@connectrpc/connect";
import type { AgentExecutionQueryController, AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import { isTerminal } from "@stigmer/status";
import { createFollowedRun, type ExecutionUpdate, type FollowedRun, type Resync } from "./followed-run.ts";
import { reconnecting, type ReconnectOptions } from "./reconnecting.ts";

export interface WatchOptions extends ReconnectOptions {
  /** Leave out what an earlier watch has shown: only changes after this revision are told. Default 0: from a snapshot. */
  readonly afterRevision?: number;
  /** The status as of `afterRevision`; needed to go on folding from there. */
  readonly status?: AgentExecutionStatus;
  /** Called when the picture of a run turned out wrong and is fetched anew. It throws `internal` when that does not help. */
  readonly onResync?: (resync: Resync) => void;
}

/**
 * Follows a run until its terminal phase, over broken connections and server restarts, without missing or repeating a
 * revision, and checks its picture against the hashes that the server sends. A server that has no `watch` is asked for whole
 * executions instead (`subscribe`).
 * Throws `ClientError`: `not-found`, `unauthenticated`, or `unavailable` after `giveUpAfterMs`.
 */
export function watchExecution(
  client: Client<typeof AgentExecutionQueryController>,
  executionId: string,
  options: WatchOptions = {},
): AsyncGenerator<ExecutionUpdate, void, undefined> {
  const { status, afterRevision = 0, onResync } = options;
  const known = status && { status, revision: afterRevision };
  return followExecution(client, { executionId, run: createFollowedRun({ executionId, onResync }, known) }, options);
}

/** The same, for who has a picture of the run already. */
export function followExecution(
  client: Client<typeof AgentExecutionQueryController>,
  { executionId, run }: { readonly executionId: string; readonly run: FollowedRun },
  options: ReconnectOptions,
): AsyncGenerator<ExecutionUpdate, void, undefined> {
  let useSubscribe = false;

  async function* watch(signal: AbortSignal, onHeader: () => void): AsyncGenerator<ExecutionUpdate> {
    const request = { executionId, afterRevision: run.revision };
    for await (const { revision, stateHash, event } of client.watch(request, { signal, onHeader })) {
      const at = { revision, stateHash };
      if (event.case === "snapshot") {
        yield run.snapshot(event.value.status, at);
      } else if (event.case === "delta") {
        const update = run.delta(event.value, at);
        if (update) yield update;
      }
    }
  }

  async function* subscribe(signal: AbortSignal, onHeader: () => void): AsyncGenerator<ExecutionUpdate> {
    for await (const { status } of client.subscribe({ value: executionId }, { signal, onHeader })) {
      yield run.snapshot(status, { revision: status?.revision ?? 0, stateHash: "" });
    }
  }

  return reconnecting(options, {
    subject: `execution ${executionId}`,
    open: (signal, onOpen) => (useSubscribe ? subscribe(signal, onOpen) : watch(signal, onOpen)),
    isComplete: () => run.fold !== undefined && isTerminal(run.fold.status.phase),
    fallBack: () => !useSubscribe && (useSubscribe = true),
  });
}
