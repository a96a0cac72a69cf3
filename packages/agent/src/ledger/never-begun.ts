import { AgentError } from "../errors.ts";

export function neverBegun(callKey: string): AgentError {
  return new AgentError(
    "checkpoint",
    `The tool-call ledger has no call ${callKey} that a result could belong to. Begin a call before finishing it.`,
  );
}
