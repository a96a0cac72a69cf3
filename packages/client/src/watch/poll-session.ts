import type { Client } from "@connectrpc/connect";
import type { AgentExecution, AgentExecutionQueryController } from "@stigmer/protos/agentexecution/v1";
import { ClientError } from "../errors.ts";
import { createChannel } from "./channel.ts";
import { createFollowedRun } from "./followed-run.ts";
import { sleep } from "./reconnecting.ts";
import { hasEnded, type SessionRun, type SessionUpdate, type WatchSessionOptions } from "./session-run.ts";
import { followExecution } from "./watch-execution.ts";

export interface PollSessionOptions extends WatchSessionOptions {
  /** What is known already, and grows. */
  readonly runs: Map<string, SessionRun>;
  readonly signal: AbortSignal;
  /** Called when the first look is told. */
  readonly onCaughtUp: () => boolean;
}

// One page holds the runs of any conversation that people have.
const PAGE_SIZE = 1_000;

/** Looks for the session's runs now and then, and follows those under way one by one. Ends with the first error. */
export async function* pollSession(
  client: Client<typeof AgentExecutionQueryController>,
  sessionId: string,
  options: PollSessionOptions,
): AsyncGenerator<SessionUpdate, void, undefined> {
  const { runs, onResync, onCaughtUp, pollEveryMs = 2_000 } = options;
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const channel = createChannel<SessionUpdate>();
  const following = new Map<string, AbortController>();

  async function list(): Promise<AgentExecution[]> {
    const found: AgentExecution[] = [];
    let pageToken = "";
    do {
      const page = await client.listBySession({ sessionId, pageSize: PAGE_SIZE, pageToken }, { signal });
      found.push(...page.entries);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return found;
  }

  async function look(): Promise<void> {
    const listed = await list();
    const ids = new Set(listed.map(({ metadata }) => metadata?.id ?? ""));
    for (const executionId of [...runs.keys()].filter((id) => !ids.has(id))) {
      following.get(executionId)?.abort();
      runs.delete(executionId);
      await channel.send({ kind: "removed", executionId });
    }
    // Newest first, as it is listed, is not how a conversation is told.
    for (const execution of listed.toReversed()) {
      const executionId = execution.metadata?.id ?? "";
      let run = runs.get(executionId);
      if (!run) {
        run = { execution, followed: createFollowedRun({ executionId, onResync }) };
        runs.set(executionId, run);
        const at = { revision: execution.status?.revision ?? 0, stateHash: "" };
        await channel.send({ kind: "run", executionId, execution, ...run.followed.snapshot(execution.status, at) });
      }
      if (!hasEnded(run) && !following.has(executionId)) void follow(executionId, run);
    }
  }

  async function follow(executionId: string, { execution, followed }: SessionRun): Promise<void> {
    const left = new AbortController();
    following.set(executionId, left);
    // The loop around this one comes back after a break, with what is known by then.
    const watchOptions = { signal: AbortSignal.any([signal, left.signal]), giveUpAfterMs: 0 };
    try {
      for await (const update of followExecution(client, { executionId, run: followed }, watchOptions)) {
        await channel.send({ kind: "run", executionId, execution, ...update });
      }
    } catch (error) {
      // Deleted: the next look tells.
      if (!left.signal.aborted && ClientError.from(error, sessionId).code !== "not-found") channel.close(error);
    } finally {
      following.delete(executionId);
    }
  }

  async function poll(): Promise<void> {
    while (!signal.aborted) {
      await look();
      if (onCaughtUp()) await channel.send({ kind: "caught-up" });
      await sleep(pollEveryMs, signal);
    }
    throw signal.reason;
  }

  void poll().catch((error: unknown) => channel.close(error));
  try {
    yield* channel.items();
  } finally {
    stop.abort();
  }
}
