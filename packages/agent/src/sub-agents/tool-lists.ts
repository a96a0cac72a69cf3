// Which tools an agent has, by its lists of names.

/** An agent's lists. Undefined or empty: nothing is said. */
export interface ToolLists {
  readonly allowedTools?: readonly string[];
  readonly disallowedTools?: readonly string[];
}

/** Says which of these tools an agent has, by name. */
export type HasTool = (name: string) => boolean;

/** `disallowedTools` win; an empty `allowedTools` allows what `otherwise` does, by default everything. */
export function hasTool({ allowedTools = [], disallowedTools = [] }: ToolLists, otherwise?: HasTool): HasTool {
  const allowed = allowedTools.map(toMatcher);
  const disallowed = disallowedTools.map(toMatcher);
  return (name) => {
    if (disallowed.some((matches) => matches(name))) return false;
    return allowed.length === 0 ? (otherwise?.(name) ?? true) : allowed.some((matches) => matches(name));
  };
}

/** Says which exact names in the lists no tool has. A pattern may match nothing: what it is about may come later. */
export function toolListProblems(lists: ToolLists, owner: string, known: readonly string[]): string[] {
  const fields = { tools: lists.allowedTools, disallowed_tools: lists.disallowedTools };
  return Object.entries(fields).flatMap(([field, names = []]) =>
    names
      .filter((name) => !name.includes("*") && !known.includes(name))
      .map((name) => {
        const all = known.toSorted().join(", ");
        return `${field} of ${owner} name "${name}", which is no tool of it (known: ${all})`;
      }),
  );
}

/** `*` stands for any characters. */
function toMatcher(pattern: string): (name: string) => boolean {
  if (!pattern.includes("*")) return (name) => name === pattern;
  const source = pattern.split("*").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  const expression = new RegExp(`^${source.join("[^]*")}$`);
  return (name) => expression.test(name);
}
