import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Engine } from "@stigmer/engine";
import { type AgentExecution, ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { InboxItemSchema } from "@stigmer/protos/runner/v1";
import { isTerminal } from "@stigmer/status";
import { ulid } from "ulid";
import type { RunStatuses } from "../executions/run-statuses.ts";
import { isHeard } from "../executions/follow-unheard.ts";
import { phaseName } from "../executions/phase-name.ts";
import type { Principal } from "../interceptors/principal.ts";
import type { ExecutionRecord } from "../store/execution-store.ts";
import type { AgentExecutions } from "./agent-executions.ts";

export interface OrdersOptions extends Pick<AgentExecutions, "get"> {
  readonly engine: Pick<Engine, "pause" | "resume" | "deliver">;
  readonly runs: Pick<RunStatuses, "holdWaiting">;
  /** Throws when there is no such run, or when the caller may not change it. */
  readonly findOwn: (id: string, principal: Principal) => Promise<ExecutionRecord>;
}

/** How long a run that rests may take to be handed back, in milliseconds from one look to the next. */
const HAND_BACK_MS = [25, 50, 100, 200, 400, 800] as const;

/** What people want of a run under way. */
export function createOrders(options: OrdersOptions): Pick<AgentExecutions, "pause" | "resume" | "sendMessage"> {
  const { engine, runs, get, findOwn } = options;

  async function pause(id: string, reason: string, principal: Principal): Promise<AgentExecution> {
    const { ended } = await findOwn(id, principal);
    const standing = ended ? "over" : await engine.pause(id, reason || "Paused on request.");
    if (standing !== "over") await runs.holdWaiting(id);
    const execution = await get(id, principal);
    if (standing === "over") throw tooLate(execution, "it can't be paused any more");
    return execution;
  }

  async function resume(id: string, principal: Principal): Promise<AgentExecution> {
    const { ended, phase, revision: restsAt } = await findOwn(id, principal);
    // What it waits for is said to `resolveApproval`.
    if (phase === ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL) return get(id, principal);
    for (let looks = 0; ; looks++) {
      const standing = ended ? "over" : await engine.resume(id);
      const execution = await get(id, principal);
      if (standing === "over") throw tooLate(execution, "it can't go on any more");
      // Stored as paused, but its runner has not let go of it yet: one that paused by itself would miss the word.
      const letsGo = standing === "running" && phaseOf(execution) === ExecutionPhase.EXECUTION_PAUSED;
      const waitMs = HAND_BACK_MS[looks];
      if (!letsGo || execution.status?.revision !== restsAt || waitMs === undefined) return execution;
      await sleep(waitMs);
    }
  }

  async function sendMessage(
    id: string,
    { messageId: givenId, text }: { readonly messageId: string; readonly text: string },
    principal: Principal,
  ): Promise<AgentExecution> {
    const messageId = givenId || ulid().toLowerCase();
    const item = create(InboxItemSchema, { id: messageId, item: { case: "message", value: { text } } });
    const { ended } = await findOwn(id, principal);
    const standing = ended ? "over" : await engine.deliver(id, item);
    const execution = await get(id, principal);
    const over = standing === "over" || isTerminal(phaseOf(execution));
    // What the run heard before its end was in time, also for who asks again because the answer was lost.
    if (over && !isHeard(execution, messageId)) {
      throw tooLate(execution, "start another run in its session");
    }
    return execution;
  }

  return { pause, resume, sendMessage };
}

export function phaseOf({ status }: AgentExecution): ExecutionPhase {
  return status?.phase ?? ExecutionPhase.EXECUTION_PHASE_UNSPECIFIED;
}

export function tooLate(execution: AgentExecution, advice: string): ConnectError {
  const phase = phaseOf(execution);
  const ended = isTerminal(phase) ? `has ended (${phaseName(phase)})` : "is about to end";
  return new ConnectError(`${execution.metadata?.id} ${ended}: ${advice}`, Code.FailedPrecondition);
}
