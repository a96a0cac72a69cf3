/**
 * One event of an agent's stream: LangGraph's tuple with `streamMode: ["messages", "updates", "tools", "custom"]` and
 * `subgraphs: true`, as an object. `data` is what LangGraph gave, live or gone through JSON.
 */
export interface AgentEvent {
  /** Where it happened: `[]` is the root graph, `["model_request:<task>"]` a node, `["tools:<task>", …]` a sub-agent. */
  readonly namespace: readonly string[];
  readonly mode: "messages" | "updates" | "tools" | "custom";
  readonly data: unknown;
}
