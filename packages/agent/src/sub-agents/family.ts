// Which agent can hand tasks to which: pure, over names.
import type { SubAgentSpec } from "../agent.ts";

/** Says of each sub-agent's list of sub-agents what can't work: names that nobody has, and circles. */
export function familyProblems(specs: readonly SubAgentSpec[]): string[] {
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  const problems: string[] = [];
  for (const { name, subAgents = [] } of specs) {
    for (const [index, child] of subAgents.entries()) {
      if (subAgents.indexOf(child) < index) problems.push(`sub_agents of sub-agent "${name}" name "${child}" twice`);
      else if (!byName.has(child)) {
        const known = [...byName.keys()].filter((other) => other !== name).map((other) => `"${other}"`);
        problems.push(
          `sub_agents of sub-agent "${name}" name "${child}", which the agent doesn't have (known: ${known.join(", ") || "none"})`,
        );
      }
    }
  }
  const circle = findCircle(specs, byName);
  if (circle !== undefined) {
    const path = circle.map((name) => `"${name}"`).join(" → ");
    problems.push(`sub_agents go round in a circle: ${path}; a task could be handed on for ever`);
  }
  return problems;
}

/** The first circle, its first name also last. */
function findCircle(
  specs: readonly SubAgentSpec[],
  byName: ReadonlyMap<string, SubAgentSpec>,
): readonly string[] | undefined {
  const cleared = new Set<string>();
  const walk = (name: string, path: readonly string[]): readonly string[] | undefined => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (cleared.has(name)) return undefined;
    for (const child of byName.get(name)?.subAgents ?? []) {
      const circle = walk(child, [...path, name]);
      if (circle !== undefined) return circle;
    }
    cleared.add(name);
    return undefined;
  };
  for (const { name } of specs) {
    const circle = walk(name, []);
    if (circle !== undefined) return circle;
  }
  return undefined;
}
