// One run as its user has it: started, watched to its end, decided upon or cancelled, whatever dies meanwhile; and what was promised of it.
import { setTimeout as sleep } from "node:timers/promises";
import { createId } from "@stigmer/protos";
import { ClientError, type StigmerClient } from "@stigmer/client";
import { ToolCallStatus } from "@stigmer/protos/agentexecution/v1";
import { createStatusFold } from "@stigmer/status";
import type { Effects } from "./effects.ts";

/** For what is under way when all is up again, retries and time-outs of Temporal's included. */
export const SETTLE_MS = 600_000;

export type RunKind = "book" | "queued" | "approve" | "delegate" | "cancel" | "keep";

export interface AttendedRun {
  /** In its message, and in every effect of it. */
  readonly name: string;
  readonly kind: RunKind;
  readonly id: string;
  readonly sessionId: string;
  readonly client: StigmerClient;
  /** How it ended, and what was wrong with how it was told. */
  readonly watched: Promise<Watched>;
}

interface Watched {
  readonly phase: string;
  readonly hash: string;
  readonly revision: number;
  readonly problems: readonly string[];
}

const WORDS: Readonly<Record<RunKind, string>> = {
  book: "Book three entries",
  queued: "Book three entries",
  approve: "Book with approval",
  delegate: "Have it booked",
  cancel: "Go on for long",
  keep: "Keep a file",
};

/** Starts a run, or for `queued` two of one session, and follows each to its end, or until `signal` says that this takes too long. */
export async function attendRuns(
  client: StigmerClient,
  run: { readonly kind: RunKind; readonly name: string; readonly signal: AbortSignal },
): Promise<AttendedRun[]> {
  const first = await attendRun(client, run);
  if (run.kind !== "queued") return [first];
  return [first, await attendRun(client, { ...run, name: `${run.name}-next`, sessionId: first.sessionId })];
}

async function attendRun(
  client: StigmerClient,
  run: { readonly kind: RunKind; readonly name: string; readonly sessionId?: string; readonly signal: AbortSignal },
): Promise<AttendedRun> {
  const { kind, name, sessionId, signal } = run;
  // Known before the server has heard of it, so that a call whose answer was lost is made again for the same run.
  const id = createId("AgentExecution");
  const slug = kind === "approve" ? "careful" : "bookkeeper";
  const of = sessionId === undefined ? { agentId: await persistently(() => agentIdOf(client, slug)) } : { sessionId };
  const { spec } = await persistently(async () => {
    try {
      return await client.executions.create({
        metadata: { id, name: id },
        spec: { ...of, message: `${WORDS[kind]} #${name}` },
      });
    } catch (error) {
      if (!ClientError.is(error) || error.code !== "already-exists") throw error;
      return client.executions.get(id);
    }
  });
  return {
    name,
    kind,
    id,
    sessionId: spec?.sessionId ?? "",
    client,
    watched: watchToEnd(client, { id, kind, signal }),
  };
}

async function agentIdOf(client: StigmerClient, slug: string): Promise<string> {
  const { metadata } = await client.agents.getByReference({ slug });
  return metadata?.id ?? "";
}

/** Watches a run to its end, decides what it asks, and cancels what is to be cancelled. */
async function watchToEnd(
  client: StigmerClient,
  { id, kind, signal }: { readonly id: string; readonly kind: RunKind; readonly signal: AbortSignal },
): Promise<Watched> {
  const problems: string[] = [];
  let asked = false;
  const decided = new Set<string>();
  let last: Omit<Watched, "problems"> = { phase: "", hash: "", revision: 0 };
  const onResync = ({ reason, revision }: { readonly reason: string; readonly revision: number }): void =>
    void problems.push(`${id}: its watcher had to begin anew at ${revision}: ${reason}`);
  const orders: Promise<unknown>[] = [];
  try {
    for await (const update of client.executions.watch(id, { signal, onResync, giveUpAfterMs: SETTLE_MS })) {
      const { revision, phase, status, delta } = update;
      if (revision < last.revision || (delta !== undefined && revision === last.revision))
        problems.push(`${id}: revision ${revision} came after ${last.revision}`);
      last = { phase, revision, hash: createStatusFold(status).hash() };
      if (kind === "cancel" && phase === "in-progress" && !asked && status.toolCalls.length > 1) {
        asked = true;
        // One that has ended meanwhile refuses.
        const cancelled = persistently(() => client.executions.cancel(id, "enough"));
        orders.push(cancelled.catch((error: unknown) => void refusedAsOver(error, problems, id)));
      }
      if (phase !== "waiting-for-approval") continue;
      for (const call of status.toolCalls) {
        if (call.status !== ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL || decided.has(call.id)) continue;
        decided.add(call.id);
        const approved = persistently(() => client.executions.resolveApproval(id, call.id, { decision: "approve" }));
        orders.push(
          approved.catch((error: unknown) => problems.push(`${id}: a decision was refused: ${String(error)}`)),
        );
      }
    }
  } catch (error) {
    problems.push(`${id}: its watcher broke at revision ${last.revision}: ${String(error)}`);
  }
  await Promise.all(orders);
  return { ...last, problems };
}

function refusedAsOver(error: unknown, problems: string[], id: string): void {
  if (!ClientError.is(error) || error.code !== "failed-precondition")
    problems.push(`${id}: its cancellation was refused: ${String(error)}`);
}

/** Every promise that was made for one run: what of them was not kept. */
export async function problemsOf(run: AttendedRun, effects: Effects): Promise<string[]> {
  const { phase, hash, revision, problems } = await run.watched;
  const found = [...problems];
  const say = (what: string): void => void found.push(`${run.kind} ${run.id} (${run.name}): ${what}`);
  const { status } = await run.client.executions.get(run.id);
  if (!status) return [...found, `${run.id} has no status`];
  const wanted = run.kind === "cancel" ? ["cancelled", "completed"] : ["completed"];
  if (!wanted.includes(phase)) say(`it ended as ${phase || "nothing that was told"}: ${status.error}`);
  if (revision !== status.revision) say(`its watcher ended at revision ${revision}, the store at ${status.revision}`);
  if (hash !== createStatusFold(status).hash()) say("its watcher's picture is another one than the store's");

  const byEntry = new Map<string, ToolCallStatus[]>();
  for (const call of status.toolCalls) {
    const entry = call.args?.["entry"];
    if (typeof entry === "string") byEntry.set(entry, [...(byEntry.get(entry) ?? []), call.status]);
    // The session's first: a command that happened twice would have written line 2.
    const line = /\d+/.exec(call.result)?.[0];
    if (call.name === "execute" && call.status === ToolCallStatus.TOOL_CALL_COMPLETED && line !== "1")
      say(`its command is said to have written line ${line}`);
  }
  for (const [entry, statuses] of byEntry) {
    const count = effects.counts.get(entry) ?? 0;
    if (count > 1) say(`${entry} happened ${count} times`);
    if (statuses.includes(ToolCallStatus.TOOL_CALL_COMPLETED) && count !== 1)
      say(`${entry} is said to have happened, and did ${count} times`);
    if (phase === "completed" && !statuses.every((each) => TOLD.has(each)))
      say(`${entry} has no end: ${statuses.map((each) => ToolCallStatus[each]).join()}`);
  }
  for (const [entry] of effects.counts)
    if (entry.startsWith(`${run.name}/`) && !byEntry.has(entry))
      say(`${entry} happened, and its status is silent of it`);
  return found;
}

const TOLD: ReadonlySet<ToolCallStatus> = new Set([
  ToolCallStatus.TOOL_CALL_COMPLETED,
  ToolCallStatus.TOOL_CALL_OUTCOME_UNKNOWN,
]);

/** Does what its user would do again: a call that found nobody, or whose answer was lost. */
async function persistently<T>(work: () => Promise<T>): Promise<T> {
  for (const deadline = Date.now() + SETTLE_MS; ;) {
    try {
      return await work();
    } catch (error) {
      if (!ClientError.is(error) || !error.retryable || Date.now() > deadline) throw error;
      await sleep(250);
    }
  }
}
