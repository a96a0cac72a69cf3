/** A model is asked: one try of one model call. */
export interface BegunModelCall {
  /** `main`, or the sub-agent's name. */
  readonly agentName: string;
  readonly provider: string;
  /** As it was asked for. */
  readonly model: string;
}

export interface EndedModelCall {
  readonly outcome: "answered" | "failed";
  /** Undefined when the provider told nothing of it. */
  readonly inputTokens?: number;
  readonly outputTokens?: number;
}

/** A tool is run; one whose result the ledger had is not. */
export interface BegunToolCall {
  readonly agentName: string;
  readonly name: string;
  /** It waits for a sub-agent, whose own calls are told. */
  readonly isTask: boolean;
}

export interface EndedToolCall {
  /** `stopped`: the run was ended, or came to rest, before the tool did. */
  readonly outcome: "completed" | "failed" | "stopped";
}

/** Told of calls as they begin; each function that it answers is called once, when that call has ended. Must not throw. */
export interface CallObserver {
  modelCall(call: BegunModelCall): (end: EndedModelCall) => void;
  toolCall(call: BegunToolCall): (end: EndedToolCall) => void;
}
