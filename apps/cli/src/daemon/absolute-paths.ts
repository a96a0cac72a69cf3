import { resolve } from "node:path";
import { type VariableName, variables } from "@stigmer/config";

const pathNames = (Object.keys(variables) as VariableName[]).filter((name) =>
  ["path", "database"].includes(variables[name].format.type),
);

/**
 * The environment for a process that runs in another directory: what a user wrote as a relative path stays the path they
 * meant. `~` and URLs are left to who reads them.
 */
export function withAbsolutePaths<Value extends string | undefined>(
  env: Readonly<Record<string, Value>>,
): Record<string, Value | string> {
  const paths = pathNames.flatMap((name): [string, string][] => {
    const text = env[name]?.trim();
    return !text || text.startsWith("~") || /^[a-z][a-z0-9+.-]*:/i.test(text) ? [] : [[name, resolve(text)]];
  });
  return { ...env, ...Object.fromEntries(paths) };
}
