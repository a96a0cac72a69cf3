/** A scenario file. Everything a request does not decide is decided here. */
export interface ScenarioFile {
  readonly name: string;
  /** Model ids that the server lists. Any model a request names is answered. Default: `["claude-sonnet-4-5"]`. */
  readonly models?: readonly string[];
  readonly defaults?: Pace;
  /** The first that matches the request answers it. */
  readonly scenarios: readonly Scenario[];
}

export interface Scenario {
  /** Unique in the file; named by errors and recorded requests. */
  readonly name: string;
  /** Absent, it matches every request. */
  readonly match?: Match;
  /** Values taken from the request by name, for `{{ name }}` in templates. */
  readonly capture?: Readonly<Record<string, Capture>>;
  /**
   * A tool call whose result matches is made once more, under a new id, and nothing else is said: what a careful model does
   * about a call whose outcome is unknown and that may be repeated. Such an answer is no turn.
   */
  readonly repeatCallsWhen?: TextMatch;
  /** Turn n answers a request with n assistant messages after the last human message. */
  readonly turns: readonly Turn[];
}

/** All that are given must hold. */
export interface Match {
  readonly system?: TextMatch;
  /** The last thing a human said. */
  readonly human?: TextMatch;
  /** The first thing a human said in this conversation. */
  readonly firstHuman?: TextMatch;
  readonly model?: TextMatch;
  /** Each must be met by a tool that the request offers; a plain string is the tool's exact name. */
  readonly tools?: readonly TextMatch[];
}

/** A plain string is contained in the text, or (for tools) equals the name. Regular expressions have the `m` flag. */
export type TextMatch = string | { readonly contains: string } | { readonly regex: string };

export interface Capture {
  readonly from: "system" | "human" | "firstHuman";
  /** Regular expression; its first group, or else the whole match, is the value. */
  readonly pattern: string;
}

export interface Pace {
  /** Characters a streamed piece holds. Default 12. */
  readonly chunkSize?: number;
  /** Wait before each streamed piece. Default 0. */
  readonly chunkDelayMs?: number;
  /** Wait before anything of the answer is sent. Default 0. */
  readonly startDelayMs?: number;
}

/** One answer of the model: its parts are sent in the order thinking, text, tool calls, refusal. */
export interface Turn extends Pace {
  readonly thinking?: string;
  readonly text?: string;
  readonly toolCalls?: readonly ScriptedToolCall[];
  /** Declines to go on, after what the turn says: as the provider tells it, in these words where it has words for it. */
  readonly refusal?: string;
  /** Fails instead of answering. */
  readonly error?: ScriptedFailure;
  /** Breaks off in mid-answer. */
  readonly cut?: Cut;
}

export interface ScriptedToolCall {
  readonly name: string;
  /** Strings in it, at any depth, are templates. Default `{}`. */
  readonly args?: Readonly<Record<string, unknown>>;
  /** Default: derived from scenario, turn, position and what humans said. */
  readonly id?: string;
}

export interface ScriptedFailure {
  /** HTTP status, 400 to 599; also 200 with a `contentType`. Absent: `reason` says it. */
  readonly status?: number;
  /** What went wrong, said in the provider's own words: its status, error type and code. */
  readonly reason?: FailureReason;
  /** The protocol's own error type. Default: what that protocol says for the status. */
  readonly type?: string;
  readonly message?: string;
  /** How long to wait before the next try, in seconds. */
  readonly retryAfter?: number;
  /** How that is told: `retry-after` in seconds (the default) or as an HTTP date, or `retry-after-ms`. */
  readonly retryAfterAs?: "seconds" | "date" | "milliseconds";
  /** Answer with a page of this type instead of the protocol's JSON, as a proxy on the way does. */
  readonly contentType?: string;
  /** Start a successful stream and report the failure inside it, after this many pieces. */
  readonly afterChunks?: number;
  /** How many requests of one conversation fail before the turn is answered. Default: all. */
  readonly times?: number;
}

export type FailureReason = (typeof failureReasons)[number];

export const failureReasons = [
  "bad-key",
  "no-such-model",
  "context-too-long",
  "refused",
  "out-of-credit",
  "rate-limited",
  "overloaded",
  "broken",
] as const;

export interface Cut {
  /** Pieces that are sent before. */
  readonly afterChunks: number;
  /**
   * What comes instead of the rest. `reset` (the default): the socket closes; `end`: the answer ends as if it were whole, but
   * without what says so; `malformed`: a line that is no JSON, and no more; `silence`: nothing, on an open connection.
   */
  readonly how?: "reset" | "end" | "malformed" | "silence";
  /** How many requests of one conversation are cut before the turn is answered in full. Default: all. */
  readonly times?: number;
}
