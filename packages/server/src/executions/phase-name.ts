import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";

/** `EXECUTION_FAILED` as people read it: `failed`. */
export function phaseName(phase: ExecutionPhase): string {
  return (ExecutionPhase[phase] ?? String(phase))
    .replace(/^EXECUTION_/, "")
    .toLowerCase()
    .replaceAll("_", " ");
}
