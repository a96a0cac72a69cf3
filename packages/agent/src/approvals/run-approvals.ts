// What one run knows of its questions to people: which calls wait, and what was decided. Travels in LangGraph's `configurable`,
// as the run's gate does.
import type { AgentEvent } from "../agent.ts";
import { ownerOf } from "../sub-agents/background-place.ts";
import type { ApprovalRule } from "./policy.ts";

/** What a person decided on one call. */
export interface ApprovalDecision {
  /** Names the call, as the event told it that said that it waits. */
  readonly callKey: string;
  /** `skip`: it is not run, and the model goes on as if it had not asked. */
  readonly decision: "approve" | "edit" | "reject" | "skip";
  /** With `edit`: what to call it with instead. */
  readonly args?: Readonly<Record<string, unknown>>;
  readonly reason?: string;
  readonly decidedBy?: string;
  readonly scope?: "once" | "session";
  /** With scope `session`: what is allowed from here on. */
  readonly rule?: ApprovalRule;
}

/** One call that waits. */
export interface WaitingCall {
  readonly callKey: string;
  readonly id: string;
  readonly name: string;
  readonly args: unknown;
  /** Why a person is asked. */
  readonly reason: string;
  /** Where it is made: `tools:<task>` for each graph on the way, below a background task's own place. */
  readonly place: readonly string[];
}

/** What `data` of an event of mode `tools` says about approvals, beside LangChain's own events. */
export interface ApprovalEvent {
  /** The call waits for a person; or what a person decided is about to be carried out. */
  readonly event: "on_tool_waiting" | "on_tool_decided";
  readonly toolCallId: string;
  readonly name: string;
  /** JSON of what it was, or will be, called with. */
  readonly input: string;
  readonly approval: { readonly callKey: string; readonly reason: string } & Partial<
    Pick<ApprovalDecision, "decision" | "decidedBy" | "scope">
  >;
}

export interface RunApprovals {
  /** What was allowed for the session while the run was under way. */
  readonly rules: readonly ApprovalRule[];
  decisionOn(callKey: string): ApprovalDecision | undefined;
  /** The call waits: the run comes to rest when nothing else is left to do. */
  wait(call: WaitingCall): void;
  /** What was decided on the call is about to be carried out. */
  carryOut(call: WaitingCall, decision: ApprovalDecision): void;
  /** Whose call waits since the last `forget`. */
  readonly waiting: readonly WaitingCall[];
  /** Those of the run's own graph, `""`, or of a background task, by its place. */
  waitingIn(owner: string): readonly WaitingCall[];
  /** Whether something was decided about one of those. */
  canGoOn(owner: string): boolean;
  /** Before that graph goes on, where each call that still waits says so again. */
  forget(owner: string): void;
  /** Whether `take` has something. */
  readonly hasToTell: boolean;
  /** What has to be told, since the last call. */
  take(): AgentEvent[];
}

export function createRunApprovals(read: () => readonly ApprovalDecision[]): RunApprovals {
  const waiting = new Map<string, WaitingCall>();
  let untold: AgentEvent[] = [];
  const decisionOn = (callKey: string): ApprovalDecision | undefined => read().find((each) => each.callKey === callKey);
  const waitingIn = (owner: string): WaitingCall[] =>
    [...waiting.values()].filter(({ place }) => ownerOf(place) === owner);
  const tell = (
    { id, name, place }: WaitingCall,
    data: Pick<ApprovalEvent, "event" | "approval">,
    args: unknown,
  ): void => {
    const event: ApprovalEvent = { ...data, toolCallId: id, name, input: JSON.stringify(args) ?? "{}" };
    untold.push({ namespace: place, mode: "tools", data: event });
  };
  return {
    get rules() {
      return read().flatMap(({ rule }) => rule ?? []);
    },
    decisionOn,
    wait(call) {
      const { callKey, reason } = call;
      waiting.set(callKey, call);
      tell(call, { event: "on_tool_waiting", approval: { callKey, reason } }, call.args);
    },
    carryOut(call, { callKey, decision, decidedBy, scope, reason = "", args = call.args as object }) {
      tell(call, { event: "on_tool_decided", approval: { callKey, decision, decidedBy, scope, reason } }, args);
    },
    get waiting() {
      return [...waiting.values()];
    },
    waitingIn,
    canGoOn: (owner) => waitingIn(owner).some(({ callKey }) => decisionOn(callKey) !== undefined),
    forget(owner) {
      for (const { callKey } of waitingIn(owner)) waiting.delete(callKey);
    },
    get hasToTell() {
      return untold.length > 0;
    },
    take() {
      const taken = untold;
      untold = [];
      return taken;
    },
  };
}

const key = "stigmer_approvals";

/** The part of LangGraph's `configurable` by which middleware finds the run's approvals. */
export function approvalsConfig(approvals: RunApprovals): Readonly<Record<string, RunApprovals>> {
  return { [key]: approvals };
}

export function approvalsOf({
  configurable,
}: {
  readonly configurable?: Readonly<Record<string, unknown>>;
}): RunApprovals | undefined {
  return configurable?.[key] as RunApprovals | undefined;
}

/** What a middleware writes into the stream so that its reader looks for what there is to tell. */
export const NEWS = { stigmer: "approvals" } as const;

export function isNews({ mode, data }: Pick<AgentEvent, "mode" | "data">): boolean {
  return mode === "custom" && (data as { readonly stigmer?: unknown } | null)?.stigmer === NEWS.stigmer;
}

/** For people, when the run rests for them. */
export function describeWaiting(waiting: readonly WaitingCall[]): string {
  const names = waiting.map(({ name }) => name).join(", ");
  return waiting.length === 1
    ? `A call of ${names} waits for approval.`
    : `${waiting.length} calls wait for approval: ${names}.`;
}
