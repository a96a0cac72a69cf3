import { createHash } from "node:crypto";
import { create, equals, fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Engine } from "@stigmer/engine";
import { type ApprovalRule, ApprovalRuleSchema } from "@stigmer/protos/agent/v1";
import {
  ApprovalDecision,
  ApprovalScope,
  ExecutionPhase,
  type ResolveApprovalInput,
  ResolveApprovalInputSchema,
  type ToolCall,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import { type InboxApproval, InboxApprovalSchema, InboxItemSchema } from "@stigmer/protos/runner/v1";
import { type Session, SessionSchema } from "@stigmer/protos/session/v1";
import { sessionRuleOf } from "@stigmer/status";
import type { Principal } from "../interceptors/principal.ts";
import type { Store } from "../store/store.ts";
import type { AgentExecutions } from "./agent-executions.ts";
import { invalidField } from "./field-errors.ts";
import { type OrdersOptions, phaseOf, tooLate } from "./orders.ts";
import { notFound, type Resources } from "./resources.ts";
import { orAfterLostRace, transact } from "./transact.ts";

export interface ApprovalsOptions extends Pick<OrdersOptions, "get" | "findOwn"> {
  readonly store: Pick<Store, "transaction" | "queue">;
  readonly engine: Pick<Engine, "deliver" | "resume">;
  readonly sessions: Pick<Resources<Session>, "putIn">;
}

/**
 * Decides tool calls that wait for a person. A decision is an item of the run's inbox with an id that the call gives it: so the
 * first one stays, whoever else decides at the same time, and it is as durable as what is said to a run. It wakes the run, also
 * when other calls still wait: what was approved shall not wait for them.
 */
export function createApprovals(options: ApprovalsOptions): AgentExecutions["resolveApproval"] {
  const { store, engine, sessions, get, findOwn } = options;

  async function storedDecision(id: string, call: ToolCall): Promise<InboxApproval | undefined> {
    const wanted = itemId(call);
    const items = await store.queue.inbox(id, { seen: 0 });
    const found = items.find((item) => item.id === wanted);
    const item = found && fromBinary(InboxItemSchema, found.payload).item;
    return item?.case === "approval" ? item.value : undefined;
  }

  async function allowInSession(sessionId: string, rule: ApprovalRule, principal: Principal): Promise<void> {
    await orAfterLostRace(() =>
      transact(store, async (tx) => {
        const record = await tx.resources.get("Session", sessionId);
        if (!record) throw notFound("Session", sessionId);
        const session = fromBinary(SessionSchema, record.body);
        if (!session.spec || session.spec.approvalRules.some((each) => equals(ApprovalRuleSchema, each, rule))) return;
        session.spec.approvalRules.push(rule);
        await sessions.putIn(tx, session, principal);
      }),
    );
  }

  return async (given, principal) => {
    const { executionId: id, toolCallId, decision, scope } = given;
    if (scope === ApprovalScope.SESSION && decision !== ApprovalDecision.APPROVE) {
      const message = "only an approval can be given for the whole session";
      throw invalidField({ schema: ResolveApprovalInputSchema, field: "scope", message });
    }
    const { ended, sessionId } = await findOwn(id, principal);
    const execution = await get(id, principal);
    const call = execution.status?.toolCalls.find((each) => each.id === toolCallId);
    if (!call) throw new ConnectError(`${id} has no tool call ${toolCallId}`, Code.NotFound);

    const rule = scope === ApprovalScope.SESSION ? requireRule(call) : undefined;
    const wanted = toApproval(given, call, principal);
    let stored = toldDecision(call) ?? (await storedDecision(id, call));
    if (!stored) {
      if (ended) throw tooLate(execution, `${toolCallId} can't be decided any more`);
      requireWaiting(call);
      const item = create(InboxItemSchema, { id: itemId(call), item: { case: "approval", value: wanted } });
      if ((await engine.deliver(id, item)) === "over") {
        throw tooLate(await get(id, principal), `${toolCallId} can't be decided any more`);
      }
      // Another decision may have been faster.
      stored = await storedDecision(id, call);
    }
    if (stored && !isSame(stored, wanted)) throw decidedOtherwise(call, stored);
    if (rule) await allowInSession(sessionId, rule, principal);
    // One that somebody paused stays so; one under way finds the decision in its inbox.
    if (!ended && phaseOf(await get(id, principal)) === ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL) {
      await engine.resume(id);
    }
    return get(id, principal);
  };
}

function toApproval(given: ResolveApprovalInput, { approval }: ToolCall, { id: decidedBy }: Principal): InboxApproval {
  const { toolCallId, decision, reason, args } = given;
  const scope = given.scope || ApprovalScope.ONCE;
  return create(InboxApprovalSchema, {
    toolCallId,
    decision,
    reason,
    args,
    scope,
    decidedBy,
    callKey: approval?.callKey,
  });
}

/** What the status says of a call that was decided: then nothing has to be in the inbox any more. */
function toldDecision({ id: toolCallId, args, approval }: ToolCall): InboxApproval | undefined {
  if (!approval || approval.decision === ApprovalDecision.UNSPECIFIED) return undefined;
  const { decision, decidedBy } = approval;
  const edited = decision === ApprovalDecision.EDIT ? args : undefined;
  return create(InboxApprovalSchema, { toolCallId, decision, decidedBy, args: edited });
}

/** Why somebody decided, and for how long, may be said in other words when a request is repeated. */
function isSame(one: InboxApproval, other: InboxApproval): boolean {
  const essence = ({ toolCallId, decision, args }: InboxApproval): InboxApproval =>
    create(InboxApprovalSchema, { toolCallId, decision, args });
  return equals(InboxApprovalSchema, essence(one), essence(other));
}

function requireWaiting({ id, name, status }: ToolCall): void {
  if (status === ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL) return;
  const state = ToolCallStatus[status]?.replace("TOOL_CALL_", "").toLowerCase().replaceAll("_", " ") ?? "unknown";
  throw new ConnectError(`${id} (${name}) does not wait for approval: it is ${state}`, Code.FailedPrecondition);
}

function requireRule(call: ToolCall): ApprovalRule {
  const rule = sessionRuleOf(call);
  if (rule) return create(ApprovalRuleSchema, rule);
  const message = `${call.id} (${call.name}) can't be approved for the session: nobody can tell what else it would allow. Approve it once`;
  throw new ConnectError(message, Code.FailedPrecondition);
}

function decidedOtherwise({ id, name }: ToolCall, { decision, decidedBy }: InboxApproval): ConnectError {
  const what = DECIDED[decision];
  const who = decidedBy === "" ? "" : ` by ${decidedBy}`;
  return new ConnectError(`${id} (${name}) was ${what}${who} already: that stays`, Code.FailedPrecondition);
}

const DECIDED: Readonly<Record<ApprovalDecision, string>> = {
  [ApprovalDecision.UNSPECIFIED]: "decided",
  [ApprovalDecision.APPROVE]: "approved",
  [ApprovalDecision.EDIT]: "approved with other arguments",
  [ApprovalDecision.REJECT]: "rejected",
  [ApprovalDecision.SKIP]: "skipped",
};

/** What an inbox takes is short; a call's id may be kilobytes long. */
const LONGEST_NAME = 100;

function itemId({ id, approval }: ToolCall): string {
  const name = approval?.callKey || id;
  return `approval/${name.length <= LONGEST_NAME ? name : createHash("sha256").update(name).digest("hex")}`;
}
