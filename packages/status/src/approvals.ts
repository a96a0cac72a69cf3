import type { MessageInitShape } from "@bufbuild/protobuf";
import { ApprovalAction, type ApprovalRuleSchema } from "@stigmer/protos/agent/v1";
import { ApprovalDecision, ApprovalScope, type ToolCall, ToolCallStatus } from "@stigmer/protos/agentexecution/v1";
import type { AgentEvent } from "./agent-event.ts";
import type { Scene } from "./conversation.ts";
import { isRecord, unwrapArguments } from "./read-content.ts";
import type { ToolCallRequest } from "./read-message.ts";
import type { RunState } from "./run-state.ts";
import { announceCall, describeCall, owner } from "./tool-calls.ts";
import { commandNames } from "./display-command.ts";

/**
 * The rule that an approval for the whole session stands for: the same tool, and of `execute` the same programs, with their
 * subcommands. Undefined when none can be told, as of a command whose program a variable names.
 */
export function sessionRuleOf({
  name,
  args,
}: Pick<ToolCall, "name" | "args">): MessageInitShape<typeof ApprovalRuleSchema> | undefined {
  const action = ApprovalAction.ALLOW;
  const reason = "Approved for the session.";
  if (name.includes("*")) return undefined;
  if (name !== "execute") return { tools: [name], action, reason };
  const command = args?.["command"];
  const names = commandNames(typeof command === "string" ? command : "");
  // A rule without commands would be for all of them.
  if (names.length === 0 || names.some((each) => /[*?$`]/.test(each))) return undefined;
  return { tools: [name], commands: names.flatMap((each) => [each, `${each} *`]), action, reason };
}

/** A call waits for a person, or what a person decided on it is about to be carried out. */
export function reduceApproval(state: RunState, { data }: AgentEvent, scene: Scene): void {
  if (!isRecord(data) || !isRecord(data["approval"])) return;
  const { event, toolCallId, name, input, approval } = data;
  const request = { id: textOf(toolCallId), name: textOf(name), args: unwrapArguments(input) };
  if (event === "on_tool_waiting") askAbout(state, { request, approval, scene });
  else decide(state, { request, approval, scene });
}

interface Asked {
  readonly request: ToolCallRequest;
  readonly approval: Readonly<Record<string, unknown>>;
  readonly scene: Scene;
}

function askAbout(state: RunState, { request, approval, scene: { at, subAgentId } }: Asked): void {
  const { id, name, args } = request;
  const asker = state.live.get(id) ?? owner(state, id, subAgentId);
  announceCall(state, request, asker);
  const row = state.fold.toolCall(id);
  const callKey = textOf(approval["callKey"]);
  const status = ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL;
  if (row === undefined || (row.status === status && row.approval !== undefined)) return;
  state.live.set(id, { messageId: asker.messageId, subAgentId, endedAt: "", error: "" });
  const question = { reason: textOf(approval["reason"]), requestedAt: at, callKey };
  // Of another call of the same id the row shows what is asked about.
  const call = { id, ...describeCall(name, args), status, approval: question };
  state.emit({ case: "toolCall", value: { messageId: asker.messageId, call } });
}

function decide(state: RunState, { request, approval, scene: { at } }: Asked): void {
  const { id, name, args } = request;
  const row = state.fold.toolCall(id);
  if (row?.status !== ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL) return;
  const { callKey, decision, decidedBy, scope, reason } = approval;
  const question = row.approval;
  if (question === undefined || question.callKey !== callKey) return;
  const decided = decisions[textOf(decision)] ?? ApprovalDecision.UNSPECIFIED;
  const answer = {
    reason: question.reason,
    requestedAt: question.requestedAt,
    callKey: question.callKey,
    decision: decided,
    scope: scope === "session" ? ApprovalScope.SESSION : ApprovalScope.ONCE,
    decidedBy: textOf(decidedBy),
    decidedAt: at,
    comment: textOf(reason),
  };
  const shown = decided === ApprovalDecision.EDIT ? describeCall(name, args) : {};
  const call = { id, ...shown, status: ToolCallStatus.TOOL_CALL_PENDING, approval: answer };
  state.emit({ case: "toolCall", value: { messageId: state.live.get(id)?.messageId ?? "", call } });
}

const decisions: Readonly<Record<string, ApprovalDecision>> = {
  approve: ApprovalDecision.APPROVE,
  edit: ApprovalDecision.EDIT,
  reject: ApprovalDecision.REJECT,
  skip: ApprovalDecision.SKIP,
};

function textOf(value: unknown): string {
  return typeof value === "string" ? value.toWellFormed() : "";
}
