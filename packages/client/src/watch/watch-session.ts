import type { Client } from "@connectrpc/connect";
import type { AgentExecution, AgentExecutionQueryController } from "@stigmer/protos/agentexecution/v1";
import { createFollowedRun } from "./followed-run.ts";
import { pollSession } from "./poll-session.ts";
import { reconnecting } from "./reconnecting.ts";
import type { SessionRun, SessionUpdate, WatchSessionOptions } from "./session-run.ts";

/**
 * Follows all runs of a session, also those that are yet to come, over broken connections and server restarts, until the
 * watcher leaves. A server that has no `watchSession` is asked for the session's list now and then, and for each run under way.
 * Throws `ClientError`: `not-found`, `unauthenticated`, `cancelled`, or `unavailable` after `giveUpAfterMs`.
 */
export function watchSession(
  client: Client<typeof AgentExecutionQueryController>,
  sessionId: string,
  options: WatchSessionOptions = {},
): AsyncGenerator<SessionUpdate, void, undefined> {
  const runs = new Map<string, SessionRun>();
  let isCaughtUp = false;
  let poll = false;

  /** Whether this is the first time. */
  function catchUp(): boolean {
    const isFirst = !isCaughtUp;
    isCaughtUp = true;
    return isFirst;
  }

  async function* watch(signal: AbortSignal, onHeader: () => void): AsyncGenerator<SessionUpdate> {
    const known = [...runs].filter(([, { followed }]) => followed.revision > 0);
    const afterRevisions = Object.fromEntries(known.map(([id, { followed }]) => [id, followed.revision]));
    const events = client.watchSession({ sessionId, afterRevisions }, { signal, onHeader });
    for await (const { executionId, revision, stateHash, event } of events) {
      const at = { revision, stateHash };
      if (event.case === "caughtUp") {
        if (catchUp()) yield { kind: "caught-up" };
      } else if (event.case === "deleted") {
        if (runs.delete(executionId)) yield { kind: "removed", executionId };
      } else if (event.case === "snapshot") {
        const { followed, execution } = meet(event.value, executionId);
        yield { kind: "run", executionId, execution, ...followed.snapshot(event.value.status, at) };
      } else if (event.case === "delta") {
        const run = runs.get(executionId);
        const update = run?.followed.delta(event.value, at);
        if (run && update) yield { kind: "run", executionId, execution: run.execution, ...update };
      }
    }
  }

  function meet(execution: AgentExecution, executionId: string): SessionRun {
    const followed = runs.get(executionId)?.followed ?? createFollowedRun({ executionId, onResync: options.onResync });
    const run = { execution, followed };
    runs.set(executionId, run);
    return run;
  }

  return reconnecting(options, {
    subject: `session ${sessionId}`,
    open: (signal, onOpen) =>
      poll ? pollSession(client, sessionId, { ...options, runs, signal, onCaughtUp: catchUp }) : watch(signal, onOpen),
    isComplete: () => false,
    fallBack: () => !poll && (poll = true),
  });
}
