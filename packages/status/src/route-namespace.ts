import type { AgentEvent } from "./agent-event.ts";
import type { RunState } from "./run-state.ts";

/** Whose event it is. */
export interface Speaker {
  /** The `task` call in which it happened; empty for the agent itself. */
  readonly subAgentId: string;
  /**
   * It happened in a graph that a tool runs by itself, or in a task whose start was not seen: it costs, but is not what the
   * agent or a sub-agent says or does.
   */
  readonly aside: boolean;
}

/**
 * `messages` and `tools` carry the namespace of a node, the other modes that of its graph. A sub-agent's graph runs in the
 * node of its `task` call, at any depth; graphs within its graph are its own as long as no tool runs them.
 */
export function route(state: RunState, event: AgentEvent): Speaker {
  const ofNode = event.mode === "messages" || event.mode === "tools";
  const graph = ofNode ? event.namespace.slice(0, -1) : event.namespace;
  for (let depth = graph.length; depth > 0; depth -= 1) {
    const subAgentId = state.subAgents.get(graph.slice(0, depth).join("|"));
    if (subAgentId !== undefined) {
      return { subAgentId, aside: graph.slice(depth).some((node) => node.startsWith("tools:")) };
    }
  }
  return { subAgentId: "", aside: graph.length > 0 };
}

/** The node that runs a `task` call is the namespace of the sub-agent's graph. */
export function bindSubAgent(state: RunState, event: AgentEvent, callId: string): void {
  state.subAgents.set(event.namespace.join("|"), callId);
}
