import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Engine } from "@stigmer/engine";
import { createId, isId } from "@stigmer/protos";
import { type AgentExecution, WhenBusy } from "@stigmer/protos/agentexecution/v1";
import { InboxItemSchema } from "@stigmer/protos/runner/v1";
import { isTerminal } from "@stigmer/status";
import { isHeard } from "../executions/follow-unheard.ts";
import { phaseName } from "../executions/phase-name.ts";
import type { Principal } from "../interceptors/principal.ts";
import type { ExecutionRecord, ExecutionStore } from "../store/execution-store.ts";
import type { StoreTransaction } from "../store/store.ts";
import type { Access } from "./access.ts";
import { phaseOf } from "./orders.ts";

/** Runs of a session that are looked through at a time. */
const PAGE = 100;
/** Runs may end as fast as they are spoken to, but not for ever. */
const MAX_TRIES = 10;
/** Ended runs that are asked whether they have heard a message which is sent again. */
const REMEMBERED = 20;

/** The runs of a session that have not ended, oldest first. The first one is under way, or next. */
export async function openRunsOf(executions: ExecutionStore, sessionId: string): Promise<ExecutionRecord[]> {
  const all: ExecutionRecord[] = [];
  for (;;) {
    const last = all.at(-1);
    const after = last && { createdAt: last.createdAt, id: last.id };
    const page = await executions.list({ sessionId, live: true }, { limit: PAGE, after });
    all.push(...page);
    if (page.length < PAGE) return all.toReversed();
  }
}

/** Throws FAILED_PRECONDITION when the session is at work and the run was not to wait. Within the transaction that makes it. */
export async function refuseWhenBusy(
  tx: Pick<StoreTransaction, "executions">,
  whenBusy: WhenBusy | undefined,
  sessionId: string,
): Promise<void> {
  if (whenBusy !== WhenBusy.REFUSE) return;
  const [active] = await openRunsOf(tx.executions, sessionId);
  if (!active) return;
  throw new ConnectError(
    `session ${sessionId} is at work: ${active.id} has not ended (${phaseName(active.phase)}): wait for its end, cancel it, ` +
      "or say what else shall happen (when_busy: queue, steer, interrupt)",
    Code.FailedPrecondition,
  );
}

export interface SteerOptions {
  readonly store: Pick<StoreTransaction, "executions" | "resources">;
  readonly engine: Pick<Engine, "deliver">;
  readonly access: Access;
  readonly get: (id: string, principal: Principal) => Promise<AgentExecution>;
  /** Makes an ordinary run. */
  readonly create: (given: AgentExecution, principal: Principal) => Promise<AgentExecution>;
}

/**
 * Says the message to the session's run that is under way, and answers that run; without one it makes a run. The message has
 * the id that the run would have, given or made here: sent again it changes nothing, whatever became of it.
 */
export async function steer(
  options: SteerOptions,
  given: AgentExecution,
  principal: Principal,
): Promise<AgentExecution> {
  const { store, engine, access, get } = options;
  const { sessionId = "", message: text = "" } = given.spec ?? {};
  const known = given.metadata && isId(given.metadata.id, "AgentExecution") ? given.metadata.id : "";
  const id = known || createId("AgentExecution");
  const run: AgentExecution = given.metadata ? { ...given, metadata: { ...given.metadata, id } } : given;
  const session = await store.resources.get("Session", sessionId);
  // Whoever makes the run says what is wrong with the session.
  if (!session || !access.canRead(principal, session)) return options.create(run, principal);
  access.requireWrite(principal, session);
  if (known !== "") {
    const answered = await answeredBefore(options, { id, sessionId }, principal);
    if (answered) return answered;
  }
  const item = create(InboxItemSchema, { id, item: { case: "message", value: { text } } });
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const [active] = await openRunsOf(store.executions, sessionId);
    if (!active) break;
    const standing = await engine.deliver(active.id, item);
    const execution = await get(active.id, principal);
    // One that has not ended will look at what it did not hear when it does.
    if (isHeard(execution, id) || (standing !== "over" && !isTerminal(phaseOf(execution)))) return execution;
    // It took the message too late. By its end, or here, it becomes a run; not the next one's too.
    if (standing !== "over") break;
  }
  try {
    return await options.create(run, principal);
  } catch (error) {
    // Made at the end of the run that did not hear it.
    if (ConnectError.from(error).code === Code.AlreadyExists) return get(id, principal);
    throw error;
  }
}

async function answeredBefore(
  { store, get }: SteerOptions,
  { id, sessionId }: { readonly id: string; readonly sessionId: string },
  principal: Principal,
): Promise<AgentExecution | undefined> {
  const own = await store.executions.get(id);
  if (own?.sessionId === sessionId) return get(id, principal);
  for (const record of await store.executions.list({ sessionId }, { limit: REMEMBERED })) {
    const execution = await get(record.id, principal);
    if (isHeard(execution, id)) return execution;
  }
  return undefined;
}
