import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";

const names = {
  [ExecutionPhase.EXECUTION_PHASE_UNSPECIFIED]: "unspecified",
  [ExecutionPhase.EXECUTION_PENDING]: "pending",
  [ExecutionPhase.EXECUTION_IN_PROGRESS]: "in-progress",
  [ExecutionPhase.EXECUTION_COMPLETED]: "completed",
  [ExecutionPhase.EXECUTION_FAILED]: "failed",
  [ExecutionPhase.EXECUTION_CANCELLED]: "cancelled",
  [ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL]: "waiting-for-approval",
  [ExecutionPhase.EXECUTION_PAUSED]: "paused",
  [ExecutionPhase.EXECUTION_TERMINATED]: "terminated",
} as const satisfies Record<ExecutionPhase, string>;

/** Where a run stands. `completed`, `failed`, `cancelled` and `terminated` are its end. */
export type PhaseName =
  | "unspecified"
  | "pending"
  | "in-progress"
  | "completed"
  | "failed"
  | "cancelled"
  | "waiting-for-approval"
  | "paused"
  | "terminated";

/** The name of a phase; `unspecified` for one that a newer server has and this client does not know. */
export function phaseName(phase: ExecutionPhase): PhaseName {
  return (names as Partial<Record<ExecutionPhase, PhaseName>>)[phase] ?? "unspecified";
}

/** The number that goes over the wire for a phase, given either way. */
export function toPhase(phase: ExecutionPhase | PhaseName): ExecutionPhase {
  if (typeof phase === "number") return phase;
  const found = Object.entries(names).find(([, name]) => name === phase);
  return found ? (Number(found[0]) as ExecutionPhase) : ExecutionPhase.EXECUTION_PHASE_UNSPECIFIED;
}
