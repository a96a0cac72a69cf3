import { create } from "@bufbuild/protobuf";
import type { ApprovalAction, ApprovalDecision, ApprovalOptions, ApprovalRule, ToolRisk } from "@stigmer/agent";
import type { Inbox } from "@stigmer/engine";
import * as policy from "@stigmer/protos/agent/v1";
import * as execution from "@stigmer/protos/agentexecution/v1";
import type { InboxApproval } from "@stigmer/protos/runner/v1";
import { sessionRuleOf } from "@stigmer/status";
import type { ResolvedRun } from "./resolve-chain.ts";

/** Which tool calls of a run people have to allow. */
export function approvalsOf({ agent, session, execution }: ResolvedRun): ApprovalOptions {
  const ofAgent = agent.spec?.approvalPolicy;
  const { approvalPolicy: ofRun, autoApprove } = execution.spec?.executionConfig ?? {};
  return {
    execution: ofRun?.rules.map(toRule),
    session: session.spec?.approvalRules.map(toRule),
    agent: ofAgent?.rules.map(toRule),
    otherwise: toAction(ofRun?.otherwise) ?? toAction(ofAgent?.otherwise),
    autoApprove,
  };
}

/** What people decided on calls of the run so far. What an approval for the session allows is told by the call's row. */
export function decisionsOf(inbox: Inbox, status: execution.AgentExecutionStatus): ApprovalDecision[] {
  return inbox.items.flatMap(({ item }) => {
    const decided = item.case === "approval" ? toDecision(item.value, status) : undefined;
    return decided ?? [];
  });
}

function toDecision(approval: InboxApproval, status: execution.AgentExecutionStatus): ApprovalDecision | undefined {
  const { callKey, toolCallId, reason, args, decidedBy } = approval;
  const decision = DECISIONS[approval.decision];
  if (decision === undefined || callKey === "") return undefined;
  const forSession = approval.scope === execution.ApprovalScope.SESSION;
  const row = forSession ? status.toolCalls.find(({ id }) => id === toolCallId) : undefined;
  const rule = row && sessionRuleOf(row);
  return {
    callKey,
    decision,
    args,
    reason,
    decidedBy,
    scope: forSession ? "session" : "once",
    rule: rule && toRule(create(policy.ApprovalRuleSchema, rule)),
  };
}

function toRule({ tools, risks, commands, action, reason }: policy.ApprovalRule): ApprovalRule {
  const known = risks.flatMap((risk) => RISKS[risk] ?? []);
  // A rule of a newer server that says what nobody here knows: a person will.
  const meant = known.length < risks.length && action === policy.ApprovalAction.ALLOW ? "ask" : toAction(action);
  return { tools, risks: known, commands, action: meant ?? "ask", reason };
}

function toAction(action: policy.ApprovalAction | undefined): ApprovalAction | undefined {
  return action === undefined ? undefined : ACTIONS[action];
}

const ACTIONS: Readonly<Partial<Record<policy.ApprovalAction, ApprovalAction>>> = {
  [policy.ApprovalAction.ALLOW]: "allow",
  [policy.ApprovalAction.ASK]: "ask",
  [policy.ApprovalAction.DENY]: "deny",
};

const RISKS: Readonly<Partial<Record<policy.ToolRisk, ToolRisk>>> = {
  [policy.ToolRisk.READ_ONLY]: "read-only",
  [policy.ToolRisk.WRITE]: "write",
  [policy.ToolRisk.DESTRUCTIVE]: "destructive",
  [policy.ToolRisk.OPEN_WORLD]: "open-world",
};

const DECISIONS: Readonly<Partial<Record<execution.ApprovalDecision, ApprovalDecision["decision"]>>> = {
  [execution.ApprovalDecision.APPROVE]: "approve",
  [execution.ApprovalDecision.EDIT]: "edit",
  [execution.ApprovalDecision.REJECT]: "reject",
  [execution.ApprovalDecision.SKIP]: "skip",
};
