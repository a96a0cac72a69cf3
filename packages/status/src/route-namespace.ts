import type { AgentEvent } from "./agent-event.ts";
import type { RunState } from "./run-state.ts";

/** Whose event it is. */
export type Speaker =
  | { readonly kind: "root" }
  /** `callId` is the `task` call that started it; unknown when its start was not seen. */
  | { readonly kind: "sub-agent"; readonly callId: string | undefined };

/** `messages` and `tools` carry the namespace of a node, the other modes that of its graph; sub-agents have graphs of their own. */
export function route(state: RunState, event: AgentEvent): Speaker {
  const ofNode = event.mode === "messages" || event.mode === "tools";
  const graph = ofNode ? event.namespace.slice(0, -1) : event.namespace;
  if (graph.length === 0) return { kind: "root" };
  return { kind: "sub-agent", callId: state.subAgents.get(graph.join("|")) };
}

/** The node that runs a `task` call is the namespace of the sub-agent's graph, at any depth. */
export function bindSubAgent(state: RunState, event: AgentEvent, callId: string): void {
  state.subAgents.set(event.namespace.join("|"), callId);
}
