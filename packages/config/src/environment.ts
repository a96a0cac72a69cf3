import type { VariableName } from "./variables.ts";

/** An environment, for example `process.env`. An empty value counts as unset. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The value of a variable, or undefined when it is unset, empty or only white space. */
export function given(env: Environment, name: VariableName): string | undefined {
  const value = env[name];
  return value === undefined || value.trim() === "" ? undefined : value;
}
