import { RunError } from "./run-error.ts";

/** What stands in a description for a variable of the run. */
const placeholder = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/**
 * The text with the run's variables in it. `field` and `what` say in errors whose text it is. Throws `RunError` for a
 * variable that has no value. Anything else with a `$` stays as it is.
 */
export function fillPlaceholders(
  text: string,
  values: Readonly<Record<string, string>>,
  { field, what }: { readonly field: string; readonly what: string },
): string {
  return text.replaceAll(placeholder, (_, name: string) => {
    if (Object.hasOwn(values, name)) return values[name] ?? "";
    throw new RunError(missingVariable(name, { field, what }));
  });
}

/** What a person can do about a variable that has no value. */
export function missingVariable(
  name: string,
  { field, what }: { readonly field: string; readonly what: string },
): string {
  return `${field}: ${what} needs the variable ${name}, which has no value: set it in the agent's env_spec, in an environment of its instance, or for the run (stigmer run --env ${name}=…)`;
}
