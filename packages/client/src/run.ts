import {
  type AgentExecution,
  type AgentExecutionStatus,
  UnknownOutcomePolicy,
} from "@stigmer/protos/agentexecution/v1";
import { createId } from "@stigmer/protos";
import type { Session } from "@stigmer/protos/session/v1";
import { isTerminal } from "@stigmer/status";
import { aboutAgent, type AgentChoice, mayMissTheName, type NamedAgent } from "./agent-choice.ts";
import type { CallOptions } from "./call.ts";
import { ClientError } from "./errors.ts";
import type { ExecutionClient, ExecutionInput, SendMessageOptions } from "./executions.ts";
import { phaseName, type PhaseName } from "./phases.ts";
import type { ExecutionUpdate } from "./watch/followed-run.ts";
import { finalAnswer } from "./watch/said-text.ts";
import type { WatchOptions } from "./watch/watch-execution.ts";

/** How a run is attended. */
export interface AttachOptions extends Omit<WatchOptions, "afterRevision" | "status"> {
  /** Whether aborting `signal` cancels the run as well. Default false: it only stops watching. */
  readonly cancelOnAbort?: boolean;
}

/** What is to be run. One of `agent` and `session` is needed. */
export interface RunInput extends AttachOptions {
  /** What the agent is told. */
  readonly message: string;
  /** The agent, by its slug or id, by a reference, or as a server answered it. */
  readonly agent?: AgentChoice;
  /** The session to go on with, or its id. Default: a new one with the agent's default instance. */
  readonly session?: string | Session;
  /** Where the agent's slug is looked up. Default: the client's `org`. */
  readonly org?: string;
  /** Overrides the runner's default, such as `claude-sonnet-4-5`. */
  readonly model?: string;
  /** Variables for this run alone; they override those of every environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** The same for values that are kept encrypted, and out of logs, statuses and answers. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** What to do about a tool call of which a lost runner left nobody knowing whether it happened. Default: tell the agent. */
  readonly onUnknownOutcome?: "tell-agent" | "pause";
  /** For people. Default: the run's id. */
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly tags?: readonly string[];
}

/** How a run ended. One that failed is a result too: look at `phase`. */
export interface RunResult {
  /** `completed`, `failed`, `cancelled` or `terminated`. */
  readonly phase: PhaseName;
  /** What the agent said last. */
  readonly output: string;
  /** Why it failed or was stopped; empty when nothing went wrong. */
  readonly error: string;
  readonly status: AgentExecutionStatus;
}

/**
 * A run under way. Iterated, it tells what happens from now on (first how it stands) to its end, over broken connections and
 * server restarts; it can be iterated again. Leaving the loop does not stop the run.
 */
export interface Run extends AsyncIterable<ExecutionUpdate> {
  /** Known before the server has heard of the run. */
  readonly id: string;
  /** The run as the server took it. Rejects with what was wrong with it. */
  readonly execution: Promise<AgentExecution>;
  /** Resolves when the run has ended, however long it takes or rests. */
  result(): Promise<RunResult>;
  /** Asks it to stop; `result` tells when it has. */
  cancel(reason?: string, options?: CallOptions): Promise<void>;
  /** Asks it to come to rest where nothing is half done. */
  pause(reason?: string, options?: CallOptions): Promise<void>;
  /** Lets it go on when it is paused. */
  resume(options?: CallOptions): Promise<void>;
  /** Says something to it, which the agent hears before its next model call. */
  sendMessage(text: string, options?: SendMessageOptions): Promise<void>;
}

type Executions = Pick<ExecutionClient, "get" | "watch" | "cancel" | "pause" | "resume" | "sendMessage">;

interface RunCalls {
  readonly executions: Executions;
  /** Creates a run whose id was made here, once. The signal ends the waiting for a server that is away. */
  readonly createOnce: (execution: ExecutionInput, signal: AbortSignal | undefined) => Promise<AgentExecution>;
  readonly agentOf: (agent: AgentChoice, org: string | undefined) => NamedAgent;
  readonly findAgentId: (agent: NamedAgent, options: CallOptions) => Promise<string>;
}

export function startRun({ executions, createOnce, agentOf, findAgentId }: RunCalls, input: RunInput): Run {
  const { agent, session, org, message, model, onUnknownOutcome, name, labels, tags, signal } = input;
  const id = createId("AgentExecution");

  async function submit(): Promise<AgentExecution> {
    throwIfAborted(id, signal);
    if (agent === undefined && session === undefined) {
      throw new ClientError("invalid-argument", "a run needs an agent, or a session to go on with");
    }
    const named = agent === undefined ? { agentId: "" } : agentOf(agent, org);
    try {
      return await create(named);
    } catch (error) {
      if (named.agentRef === undefined) throw error;
      if (mayMissTheName(error)) return create({ agentId: await findAgentId(named, { signal }) });
      throw aboutAgent(error, named.agentRef.slug);
    }
  }

  function create(named: NamedAgent): Promise<AgentExecution> {
    const sessionId = typeof session === "object" ? session.metadata?.id : session;
    const policy = { "tell-agent": UnknownOutcomePolicy.TELL_AGENT, pause: UnknownOutcomePolicy.PAUSE };
    const unknownOutcome = onUnknownOutcome && policy[onUnknownOutcome];
    return createOnce(
      {
        metadata: { id, name: name ?? id, org, labels: { ...labels }, tags: [...(tags ?? [])] },
        spec: {
          ...named,
          sessionId,
          message,
          executionConfig: { modelName: model, unknownOutcome },
          runtimeEnv: { ...variables(input.env, false), ...variables(input.secrets, true) },
        },
      },
      signal,
    );
  }

  return attend(executions, { id, execution: submit(), options: input });
}

export function attachRun(executions: Executions, id: string, options: AttachOptions = {}): Run {
  return attend(executions, { id, execution: executions.get(id, { signal: options.signal }), options });
}

interface Attended {
  readonly id: string;
  readonly execution: Promise<AgentExecution>;
  readonly options: AttachOptions;
}

function attend(executions: Executions, { id, execution, options }: Attended): Run {
  const { signal, cancelOnAbort = false, onReconnect, onResync, giveUpAfterMs } = options;
  // Whoever iterates or waits for the result hears of it there.
  execution.catch(() => {});
  let last: AgentExecutionStatus | undefined;
  let result: Promise<RunResult> | undefined;

  const cancelRun = async (): Promise<void> => {
    // The run may be on its way to the server still: a cancellation before it would miss it. One whose answer was lost may
    // be there as well.
    const failed = await execution.then(
      () => undefined,
      (error: unknown) => ClientError.from(error, id),
    );
    if (failed && !failed.retryable && failed.code !== "cancelled") return;
    await executions.cancel(id, "The one who started the run gave it up.").catch(() => {});
  };
  const onAbort = (): void => void cancelRun();
  if (cancelOnAbort && !signal?.aborted) signal?.addEventListener("abort", onAbort, { once: true });

  async function* updates(): AsyncGenerator<ExecutionUpdate, void, undefined> {
    await unlessAborted(execution, signal, `execution ${id}`);
    for await (const update of executions.watch(id, { signal, onReconnect, onResync, giveUpAfterMs })) {
      if (isTerminal(update.status.phase)) {
        last = update.status;
        signal?.removeEventListener("abort", onAbort);
      }
      yield update;
    }
  }

  async function wait(): Promise<RunResult> {
    if (!last) for await (const { status } of updates()) if (isTerminal(status.phase)) break;
    if (!last) throw new ClientError("internal", `execution ${id}: the server told nothing of its end`);
    return { phase: phaseName(last.phase), output: finalAnswer(last), error: last.error, status: last };
  }

  return {
    id,
    execution,
    [Symbol.asyncIterator]: updates,
    result: () => {
      // A wait that failed, as when the server stayed away, may be tried again.
      result ??= wait().catch((error: unknown) => {
        result = undefined;
        throw error;
      });
      return result;
    },
    cancel: async (reason, callOptions) => {
      await execution;
      await executions.cancel(id, reason, callOptions);
    },
    pause: async (reason, callOptions) => {
      await execution;
      await executions.pause(id, reason, callOptions);
    },
    resume: async (callOptions) => {
      await execution;
      await executions.resume(id, callOptions);
    },
    sendMessage: async (text, messageOptions) => {
      await execution;
      await executions.sendMessage(id, text, messageOptions);
    },
  };
}

function throwIfAborted(id: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new ClientError("cancelled", `execution ${id}: given up before it was started`);
}

/** What `promise` gives, unless `signal` is aborted before that. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined, subject: string): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(new ClientError("cancelled", `${subject}: watching was stopped`));
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

function variables(
  values: Readonly<Record<string, string>> = {},
  isSecret: boolean,
): Record<string, { value: string; isSecret: boolean }> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value, isSecret }]));
}
