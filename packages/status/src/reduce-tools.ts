import type { AgentEvent } from "./agent-event.ts";
import { reduceApproval } from "./approvals.ts";
import { errorText, isRecord, unwrapArguments } from "./read-content.ts";
import { bindSubAgent, route } from "./route-namespace.ts";
import type { RunState } from "./run-state.ts";
import { readTaskResult } from "./read-message.ts";
import { endCall, settleTask, startCall, startTask } from "./tool-calls.ts";

/** `tools`: a tool starts, ends or throws. */
export function reduceTools(state: RunState, event: AgentEvent, at: string): void {
  const data = event.data;
  if (!isRecord(data)) return;
  const { event: what, toolCallId: id, name } = data;
  if (typeof id !== "string" || id === "" || typeof name !== "string") return;
  if (name === "task" && (what === "on_tool_start" || what === "on_background_start")) bindSubAgent(state, event, id);
  const { subAgentId, aside } = route(state, event);
  if (aside) return;
  switch (what) {
    case "on_tool_start":
      startCall(state, { id, name, args: unwrapArguments(data["input"]) }, { at, subAgentId });
      break;
    case "on_tool_end":
      endCall(state, id, { at, error: "" });
      break;
    case "on_tool_error":
      endCall(state, id, { at, error: thrownText(data["error"]) });
      break;
    case "on_background_start":
      startTask(state, id, at);
      break;
    case "on_background_end":
      settleTask(state, id, readTaskResult(data["result"]), at);
      break;
    case "on_tool_waiting":
    case "on_tool_decided":
      reduceApproval(state, event, { at, subAgentId });
      break;
    default:
      break;
  }
}

/** Errors lose their message when they go through JSON. */
function thrownText(error: unknown): string {
  const message = isRecord(error) ? error["message"] : error;
  return typeof message === "string" && message !== "" ? errorText(message) : "The tool failed.";
}
