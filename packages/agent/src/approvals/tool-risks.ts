import type { StructuredTool } from "@langchain/core/tools";

/** What a tool may do. `open-world`: it talks to what is outside of the sandbox and the server. */
export type ToolRisk = "read-only" | "write" | "destructive" | "open-world";

/** The tools that every agent has. `task` and `write_todos` do nothing by themselves: what a task does are calls of its own. */
const ownTools: Readonly<Record<string, readonly ToolRisk[]>> = {
  ls: ["read-only"],
  read_file: ["read-only"],
  glob: ["read-only"],
  grep: ["read-only"],
  task: ["read-only"],
  write_todos: ["read-only"],
  edit_file: ["write"],
  write_file: ["write", "destructive"],
  delete: ["destructive"],
  execute: ["write", "destructive", "open-world"],
};

/**
 * What a call of this tool may do. A tool that is not ours says it by the hints of the Model Context Protocol, with that
 * protocol's defaults: what it does not rule out, it may do.
 */
export function risksOf(name: string, tool: Pick<StructuredTool, "metadata"> | undefined): readonly ToolRisk[] {
  const own = Object.hasOwn(ownTools, name) ? ownTools[name] : undefined;
  if (own !== undefined) return own;
  const hints = (tool?.metadata?.["annotations"] ?? {}) as Readonly<Record<string, unknown>>;
  const changes: readonly ToolRisk[] =
    hints["readOnlyHint"] === true
      ? ["read-only"]
      : hints["destructiveHint"] === false
        ? ["write"]
        : ["write", "destructive"];
  return hints["openWorldHint"] === false ? changes : [...changes, "open-world"];
}
