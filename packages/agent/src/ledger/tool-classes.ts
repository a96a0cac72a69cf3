import type { StructuredTool } from "@langchain/core/tools";
import type { ToolCallClass } from "./tool-call-ledger.ts";

/**
 * Every tool that an agent always has, and what may be done about a call of it whose outcome nobody knows. `graph`: it
 * changes the run's own state alone, which the checkpoints keep, so that no ledger is asked (what a `task` does are the
 * calls of its sub-agent).
 */
const ownTools: Readonly<Record<string, ToolCallClass | "graph">> = {
  ls: "repeatable",
  read_file: "repeatable",
  glob: "repeatable",
  grep: "repeatable",
  write_file: "repeatable",
  delete: "repeatable",
  edit_file: "once",
  execute: "once",
  task: "graph",
  write_todos: "graph",
};

/** The tools that every agent could have. */
export const ownToolNames: readonly string[] = Object.keys(ownTools);

/** Whether an agent has a tool of this name anyway. */
export function isOwnTool(name: string): boolean {
  return Object.hasOwn(ownTools, name);
}

/**
 * What may be done about a call of this tool whose outcome nobody knows. A tool that is not ours says it by the hints of
 * the Model Context Protocol; one that says nothing is never repeated.
 */
export function classOf({ name, metadata }: Pick<StructuredTool, "name" | "metadata">): ToolCallClass | "graph" {
  const own = isOwnTool(name) ? ownTools[name] : undefined;
  if (own !== undefined) return own;
  const hints = metadata?.["annotations"] as Readonly<Record<string, unknown>> | null | undefined;
  return hints?.["readOnlyHint"] === true || hints?.["idempotentHint"] === true ? "repeatable" : "once";
}
