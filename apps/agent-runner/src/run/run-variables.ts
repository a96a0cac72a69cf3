import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { ClientError } from "@stigmer/client";
import type { AgentExecution } from "@stigmer/protos/agentexecution/v1";
import {
  type ExecutionContext,
  ExecutionContextQueryController,
  type ExecutionValue,
} from "@stigmer/protos/executioncontext/v1";
import type { EnvironmentLayer } from "./merge-environment.ts";
import { RunError } from "./run-error.ts";

/** What a server shows in place of a secret to who may not see it. */
const MASK = "********";

/**
 * The variables of one run: what the run itself says, and the secrets from its context, which the server gives to the runner
 * that holds the run, and which goes when the run is over. A server that knows no contexts leaves the secrets in the run.
 * Throws `RunError` when a secret is not to be had.
 */
export function runVariables(execution: AgentExecution, context: ExecutionContext | undefined): EnvironmentLayer {
  const own = Object.entries(execution.spec?.runtimeEnv ?? {}).filter(([, value]) => !isMasked(value));
  const merged = { ...execution.spec?.runtimeEnv, ...context?.spec?.data, ...Object.fromEntries(own) };
  const lost = Object.entries(merged).find(([, value]) => isMasked(value));
  if (lost) {
    const why = context ? "this runner may not see it" : "the run has no context any more";
    throw new RunError(
      `spec.runtime_env[${JSON.stringify(lost[0])}]: the secret is not to be had: ${why}; start the run again`,
    );
  }
  return merged;
}

function isMasked({ value, isSecret }: ExecutionValue): boolean {
  return isSecret && value === MASK;
}

/** The context of a run; undefined when it has none. `transport` says under which fence it calls. */
export async function readContext(
  transport: Transport,
  { metadata }: AgentExecution,
): Promise<ExecutionContext | undefined> {
  const { id = "", org = "" } = metadata ?? {};
  try {
    return await createClient(ExecutionContextQueryController, transport).getByReference({ org, slug: id });
  } catch (error) {
    const { code } = ConnectError.from(error);
    if (code === Code.NotFound || code === Code.Unimplemented) return undefined;
    throw ClientError.from(error, `context of ${id}`);
  }
}
