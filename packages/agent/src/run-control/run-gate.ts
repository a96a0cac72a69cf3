// How a run comes to rest, and how it notices that somebody spoke to it. LangGraph can drain a run: it ends between two steps,
// with all that is done in the checkpoint. Inside a step the gate does the same for calls that have not begun.
import { GraphDrained, RunControl as Drain } from "@langchain/langgraph";

/** One run under way. Travels in LangGraph's `configurable`, into sub-agents too, so that one agent can run many runs at once. */
export interface RunGate {
  /** For the graph, sub-graphs included: once asked, no step begins any more. */
  readonly drain: Drain;
  /** Why the run itself wants to rest, when it does. */
  readonly ownPause: string | undefined;
  /** Whether something was said to the run that it has not heard. */
  readonly hasNews: () => boolean;
  /** Brings the run to rest; the calls that are under way come to their end. The first reason stays. */
  requestOwnPause(message: string): void;
}

const key = "stigmer_run";

export interface RunGateOptions {
  readonly pause?: AbortSignal;
  readonly hasNews: () => boolean;
  /** Aborted when the run has ended. */
  readonly ended: AbortSignal;
}

export function createRunGate({ pause, hasNews, ended }: RunGateOptions): RunGate {
  const drain = new Drain();
  let ownPause: string | undefined;
  pause?.addEventListener("abort", () => drain.requestDrain("pause"), { signal: ended });
  if (pause?.aborted === true) drain.requestDrain("pause");
  return {
    drain,
    get ownPause() {
      return ownPause;
    },
    hasNews,
    requestOwnPause(message) {
      ownPause ??= message;
      drain.requestDrain("pause");
    },
  };
}

/** The part of LangGraph's config by which middleware finds the gate. */
export function gateConfig(gate: RunGate): Record<string, RunGate> {
  return { [key]: gate };
}

/** What middleware gets as `request.runtime`. */
export interface GateRuntime {
  readonly configurable?: Readonly<Record<string, unknown>>;
}

/** Asks the run of this call to rest, for a person to look: its events end with `AgentError` `paused` and the message. */
export function requestOwnPause(runtime: GateRuntime, message: string): void {
  gateOf(runtime)?.requestOwnPause(message);
}

/** Throws LangGraph's bubble-up when the run is coming to rest: the call that wanted in is made when the run goes on. */
export function passGate(runtime: GateRuntime, options: { readonly listens: boolean }): void {
  const gate = gateOf(runtime);
  if (gate === undefined) return;
  if (gate.drain.drainRequested) throw new GraphDrained(gate.drain.drainReason);
  if (options.listens && gate.hasNews()) throw new GraphDrained("news");
}

function gateOf({ configurable }: GateRuntime): RunGate | undefined {
  return configurable?.[key] as RunGate | undefined;
}
