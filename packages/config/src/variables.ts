// Every fact about every variable, once: readers validate by this table, and docs/reference/configuration.md is written from it.

import type { Format } from "./formats.ts";
import { processVariables } from "./variables/process.ts";
import { serverVariables } from "./variables/server.ts";
import { durableExecutionVariables } from "./variables/durable-execution.ts";
import { sandboxVariables } from "./variables/sandbox.ts";
import { redisVariables } from "./variables/redis.ts";
import { modelsVariables } from "./variables/models.ts";
import { limitsVariables } from "./variables/limits.ts";
import { storageVariables } from "./variables/storage.ts";
import { observabilityVariables } from "./variables/observability.ts";

/** Where Stigmer runs: on one machine beside its daemon, or as a service. */
export type Mode = "local" | "cloud";

/** Which process reads a variable. `client` is the `stigmer` command. */
export type Reader = "runner" | "server" | "client";

/** What holds for a variable in one mode. */
export type Rule =
  /** `value` is written as it would stand in the environment. */
  | { readonly use: "default"; readonly value: string; readonly note?: string }
  /** `by` narrows it to one reader; for the others the variable is optional. */
  | { readonly use: "required"; readonly by?: Reader }
  /** `unset` says what happens without it. */
  | { readonly use: "optional"; readonly unset: string }
  /** Never looked at in this mode, not even when set. */
  | { readonly use: "ignored" };

export interface Variable {
  readonly group: string;
  readonly meaning: string;
  readonly readers: readonly Reader[];
  readonly format: Format;
  readonly local: Rule;
  readonly cloud: Rule;
  /** Its value never appears in a problem, a banner or a log. */
  readonly secret: boolean;
}

type Variables = typeof processVariables &
  typeof serverVariables &
  typeof durableExecutionVariables &
  typeof sandboxVariables &
  typeof redisVariables &
  typeof limitsVariables &
  typeof modelsVariables &
  typeof storageVariables &
  typeof observabilityVariables;

export const variables: Variables = {
  ...processVariables,
  ...serverVariables,
  ...durableExecutionVariables,
  ...sandboxVariables,
  ...redisVariables,
  ...limitsVariables,
  ...modelsVariables,
  ...storageVariables,
  ...observabilityVariables,
};

/** The name of a variable that Stigmer reads. */
export type VariableName = keyof typeof variables;

/** Variables whose values are secrets: keys, passwords, and URLs that may carry one. Keep them out of agents' environments and logs. */
export const secretNames: readonly VariableName[] = (Object.keys(variables) as VariableName[]).filter(
  (name) => variables[name].secret,
);
