// How a run comes to rest, and how it notices that somebody spoke to it: each model call and each tool passes the gate of its
// run before it begins. When it must not begin, it throws what LangGraph itself throws to drain a graph. What runs beside it
// comes to its end and is kept, all checkpoints are written, and the graph stops before the very call, sub-agents included.
import { GraphDrained } from "@langchain/langgraph";

/** One run under way. Travels in LangGraph's `configurable`, so that one agent can have many runs open at once. */
export interface RunGate {
  /** Aborted when the run is asked to rest: no call may begin. */
  readonly rest: AbortSignal;
  /** What the run rests for by its own wish, when that is so. */
  readonly ownPause: string | undefined;
  /** Whether something was said to the run that it has not heard. */
  hasNews(): boolean;
  /** Brings the run to rest by its own wish. The first message stays. */
  requestOwnPause(message: string): void;
  /** Brings it to rest for the first of these, unless it has rested for one of them before, as far as that is known. */
  restForFirstOf(messages: readonly string[]): void;
}

export interface RunGateOptions {
  readonly pause: AbortSignal | undefined;
  hasNews(): boolean;
  /** As in `RunRequest`. */
  readonly restedFor: readonly string[] | undefined;
}

const key = "stigmer_run";

export function createRunGate({ pause, hasNews, restedFor }: RunGateOptions): RunGate {
  const own = new AbortController();
  let ownPause: string | undefined;
  const requestOwnPause = (message: string): void => {
    ownPause ??= message;
    own.abort();
  };
  return {
    rest: pause === undefined ? own.signal : AbortSignal.any([pause, own.signal]),
    get ownPause() {
      return ownPause;
    },
    hasNews,
    requestOwnPause,
    restForFirstOf(messages) {
      const [first] = messages;
      if (first === undefined || restedFor === undefined) return;
      if (!messages.some((message) => restedFor.includes(message))) requestOwnPause(first);
    },
  };
}

/** The part of LangGraph's `configurable` by which middleware finds the gate. */
export function gateConfig(gate: RunGate): Readonly<Record<string, RunGate>> {
  return { [key]: gate };
}

/** The part of a middleware's `request.runtime` that the gate needs. */
export interface GateRuntime {
  readonly configurable?: Readonly<Record<string, unknown>>;
}

/** Asks the run of this call to rest, for a person to look: its events end with `AgentError` `paused` and the message. */
export function requestOwnPause(runtime: GateRuntime, message: string): void {
  gateOf(runtime)?.requestOwnPause(message);
}

/**
 * Before a model call: what the thread says that a person is to be asked, and was not. Whoever asked first may have died when the
 * thread had it, and nobody else.
 */
export function askAgain(runtime: GateRuntime, questions: readonly string[]): void {
  gateOf(runtime)?.restForFirstOf(questions);
}

/** Ends the graph where it stands, as a drain of LangGraph's own would. */
export class RestNow extends GraphDrained {
  constructor() {
    super("the run is coming to rest");
  }
}

/** Before a call begins. Throws when it has to wait until the run goes on, or until its thread has what was said. */
export function passGate(runtime: GateRuntime, { listens }: { readonly listens: boolean }): void {
  const gate = gateOf(runtime);
  if (gate?.rest.aborted === true) throw new RestNow();
  if (listens && gate?.hasNews() === true) throw new GraphDrained("somebody spoke to the run");
}

/** Aborted when the run of this call is asked to rest. */
export function restOf(runtime: GateRuntime): AbortSignal | undefined {
  return gateOf(runtime)?.rest;
}

function gateOf({ configurable }: GateRuntime): RunGate | undefined {
  return configurable?.[key] as RunGate | undefined;
}
