import type { Client } from "@connectrpc/connect";
import {
  type AgentExecutionQueryController,
  type AgentExecutionStatus,
  type StatusDelta,
} from "@stigmer/protos/agentexecution/v1";
import { createStatusFold, isTerminal, type StatusFold } from "@stigmer/status";
import { ClientError } from "./errors.ts";

export interface WatchOptions {
  /** Leave out what an earlier watch has shown: only changes after this revision are told. Default 0: from a snapshot. */
  readonly afterRevision?: number;
  /** The status as of `afterRevision`; needed to go on folding from there. */
  readonly status?: AgentExecutionStatus;
  readonly signal?: AbortSignal;
  /** Called when the stream broke and is opened again after `waitMs`. */
  readonly onReconnect?: (error: ClientError, waitMs: number) => void;
  /** Milliseconds without the server after which the watch gives up. Default 60,000. */
  readonly giveUpAfterMs?: number;
}

/** One step of a run as its watcher sees it. */
export interface ExecutionUpdate {
  /** Hand this to `afterRevision` to go on from here. */
  readonly revision: number;
  /** What changed since the update before; absent when only the whole is known (the first update, or after a resync). */
  readonly delta?: StatusDelta;
  /** The status after the change. It is live: copy what you keep. */
  readonly status: AgentExecutionStatus;
}

const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2_000;

/**
 * Follows a run until its terminal phase, over broken connections and server restarts, without missing or repeating a
 * revision. A server that has no `watch` is asked for whole executions instead (`subscribe`).
 * Throws `ClientError`: `not-found`, `unauthenticated`, or `unavailable` after `giveUpAfterMs`.
 */
export async function* watchExecution(
  client: Client<typeof AgentExecutionQueryController>,
  executionId: string,
  options: WatchOptions = {},
): AsyncGenerator<ExecutionUpdate, void, undefined> {
  const subject = `execution ${executionId}`;
  const giveUpAfterMs = options.giveUpAfterMs ?? 60_000;
  let revision = options.afterRevision ?? 0;
  let fold: StatusFold | undefined = options.status && createStatusFold(options.status);
  if (!fold) revision = 0;
  let useSubscribe = false;
  let waitMs = FIRST_WAIT_MS;
  let awaySince: number | undefined;

  for (;;) {
    try {
      const updates = useSubscribe ? subscribe() : watch();
      for await (const update of updates) {
        awaySince = undefined;
        waitMs = FIRST_WAIT_MS;
        yield update;
      }
      if (fold && isTerminal(fold.status.phase)) return;
      // A stream that ended early without an error is a server that shut down politely.
      throw new ClientError("unavailable", `${subject}: the server ended the stream`);
    } catch (cause) {
      const error = ClientError.from(cause, subject);
      if (options.signal?.aborted) throw new ClientError("cancelled", `${subject}: watching was stopped`, { cause });
      if (error.code === "unimplemented" && !useSubscribe) {
        useSubscribe = true;
        continue;
      }
      if (error.code !== "unavailable" && error.code !== "internal" && error.code !== "cancelled") throw error;
      awaySince ??= Date.now();
      if (Date.now() - awaySince > giveUpAfterMs) throw error;
      options.onReconnect?.(error, waitMs);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
    }
  }

  async function* watch(): AsyncGenerator<ExecutionUpdate> {
    const events = client.watch({ executionId, afterRevision: revision }, { signal: options.signal });
    for await (const { revision: at, event } of events) {
      if (event.case === "snapshot") {
        fold = createStatusFold(event.value.status);
        revision = at;
        yield { revision, status: fold.status };
      } else if (event.case === "delta" && fold && at > revision) {
        fold.apply(event.value);
        revision = at;
        yield { revision, status: fold.status, delta: event.value };
      }
    }
  }

  async function* subscribe(): AsyncGenerator<ExecutionUpdate> {
    for await (const execution of client.subscribe({ value: executionId }, { signal: options.signal })) {
      fold = createStatusFold(execution.status);
      revision = fold.status.revision;
      yield { revision, status: fold.status };
    }
  }
}
