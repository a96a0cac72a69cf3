import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { ApprovalDecision, ApprovalScope, type ResolveApprovalInputSchema } from "@stigmer/protos/agentexecution/v1";

/** What a person decides on a tool call that waits. */
export type ApprovalAnswer =
  /** It runs; with `forSession` also what is of its kind in the session from here on. */
  | { readonly decision: "approve"; readonly reason?: string; readonly forSession?: boolean }
  /** It runs with these arguments. */
  | { readonly decision: "edit"; readonly args: JsonObject; readonly reason?: string }
  /** It does not run, and the agent is told why. */
  | { readonly decision: "reject"; readonly reason?: string }
  /** It does not run, and the agent goes on as if it had not asked. */
  | { readonly decision: "skip"; readonly reason?: string };

const decisions: Readonly<Record<ApprovalAnswer["decision"], ApprovalDecision>> = {
  approve: ApprovalDecision.APPROVE,
  edit: ApprovalDecision.EDIT,
  reject: ApprovalDecision.REJECT,
  skip: ApprovalDecision.SKIP,
};

/** The answer as it goes over the wire. */
export function toApproval(answer: ApprovalAnswer): MessageInitShape<typeof ResolveApprovalInputSchema> {
  const forSession = answer.decision === "approve" && answer.forSession === true;
  return {
    decision: decisions[answer.decision],
    reason: answer.reason ?? "",
    args: answer.decision === "edit" ? answer.args : undefined,
    scope: forSession ? ApprovalScope.SESSION : ApprovalScope.ONCE,
  };
}
