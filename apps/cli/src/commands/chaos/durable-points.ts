import { fromBinary } from "@bufbuild/protobuf";
import { ExecutionPhase, PatchStatusInputSchema } from "@stigmer/protos/agentexecution/v1";
import { LeaseEventSchema } from "@stigmer/protos/runner/v1";
import type { PassingCall } from "./forwarding-proxy.ts";

/** What a sweep can kill. With the embedded engine the engine is the server. */
export type Victim = "runner" | "server" | "engine";

/** A connection that a proxy stands on. */
export type Link = "client" | "runner" | "server-engine" | "runner-engine";

/** Who stands at its two ends and can be killed. A call is lost with either of them. */
export const endsOf: Readonly<Record<Link, readonly Victim[]>> = {
  client: ["server"],
  runner: ["runner", "server"],
  "server-engine": ["server", "engine"],
  "runner-engine": ["runner", "engine"],
};

/**
 * A moment in a run at which something becomes durable: the n-th call of its kind, before the receiver gets it, or after the
 * receiver stored it and before the caller hears so.
 */
export interface DurablePoint {
  readonly kind: string;
  /** Counted from 1. */
  readonly ordinal: number;
  readonly side: "before" | "after";
}

/** `after beginToolCall 2`. */
export function namePoint({ kind, ordinal, side }: DurablePoint): string {
  return `${side} ${kind} ${ordinal}`;
}

// Reads, signs of life and greetings store nothing that a run depends on.
const PASSING = /^(get|list|find|check|watch|subscribe|heartbeat|hello|takeLeases)/i;
// Of the many calls to a workflow engine, those that come in the same number in each run: the start of the workflow, and
// the results of its activities.
const ENGINE_CALLS: ReadonlySet<string> = new Set(["StartWorkflowExecution", "RespondActivityTaskCompleted"]);

/**
 * What a call is, as far as it is the same in each run. How often a status is sent depends on the clock, so those count by
 * the phase that they bring.
 */
export function kindsOf(link: Link, call: PassingCall): readonly string[] {
  const { service, method } = call;
  switch (link) {
    case "client":
      return service.endsWith(".AgentExecutionCommandController") && method === "create" ? ["create"] : [];
    case "runner":
      if (method === "patchStatus") return phasesOf(call.request).map((phase) => `patchStatus(${phase})`);
      return PASSING.test(method) ? [] : [method];
    default:
      return ENGINE_CALLS.has(method) ? [method] : [];
  }
}

/** What a message of a stream is. */
export function kindsOfMessage(link: Link, { method }: PassingCall, message: Uint8Array): readonly string[] {
  if (link !== "runner" || method !== "takeLeases") return [];
  return fromBinary(LeaseEventSchema, message).event.case === "lease" ? ["lease"] : [];
}

/** Whether the answers to a method have to be looked at. */
export function isLookedAt(link: Link, method: string): boolean {
  if (link === "runner") return method === "takeLeases" || !PASSING.test(method);
  return link === "client" ? method === "create" : ENGINE_CALLS.has(method);
}

function phasesOf(request: Uint8Array): string[] {
  const { delta } = fromBinary(PatchStatusInputSchema, request);
  return (delta?.changes ?? []).flatMap(({ change }) =>
    change.case === "run" && change.value.phase !== ExecutionPhase.EXECUTION_PHASE_UNSPECIFIED
      ? [ExecutionPhase[change.value.phase].replace("EXECUTION_", "").toLowerCase().replaceAll("_", "-")]
      : [],
  );
}
