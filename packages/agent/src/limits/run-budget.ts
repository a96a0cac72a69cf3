// What one run has used, against its limits: all agents of the tree count into the same budget.
import { setImmediate as afterPromises } from "node:timers/promises";
import { AgentError } from "../errors.ts";
import { type CostOf, type ModelCall, type RunLimits, type RunUsage, type Sums, usedUp } from "./run-limits.ts";

/** One run under way. Travels in LangGraph's `configurable`, as the run's gate does. */
export interface RunBudget {
  /** Aborted, with the `AgentError` to end with, when the run must not go on. */
  readonly ended: AbortSignal;
  /** Before a model is called. Ends the run and rejects when a limit is reached. */
  beginModelCall(): Promise<ModelCallMeter>;
  /** Before a tool is called. The same id again counts once. Ends the run and rejects when a limit is reached. */
  beginToolCall(id: string): Promise<void>;
  /** Ends the run with everything that is under way, and rejects. */
  end(error: AgentError): Promise<never>;
  /** Time at work ends here. */
  close(): void;
}

export interface ModelCallMeter {
  finish(call: ModelCall | undefined): void;
  /** It gave no answer: it counts as not made. */
  fail(): void;
}

export interface RunBudgetOptions {
  readonly limits: RunLimits;
  /** Of earlier attempts. */
  readonly used?: RunUsage;
  readonly costOf?: CostOf;
  /** Milliseconds of a clock that only goes on. */
  readonly now?: () => number;
}

/** The longest time that Node's timers can wait. */
const longestTimerMs = 2 ** 31 - 1;

/** Time at work begins here. */
export function openRunBudget({ limits, used, costOf, now = () => performance.now() }: RunBudgetOptions): RunBudget {
  const begunAt = now();
  const ended = new AbortController();
  const toolCalls = new Set(used?.toolCallIds);
  let { tokens = 0, costUsd = 0, modelCalls = 0 } = used ?? {};
  const sums = (): Sums => {
    const activeMs = (used?.activeMs ?? 0) + now() - begunAt;
    return { tokens, costUsd, modelCalls, activeMs, toolCalls: toolCalls.size };
  };

  let ending: AgentError | undefined;
  const end = async (error: AgentError): Promise<never> => {
    ending ??= error;
    // What has happened so far is on its way through LangGraph's streams, which lose it when they fail: it goes first.
    await afterPromises();
    ended.abort(ending);
    throw ended.signal.reason;
  };
  /** Why the next call must not begin. Asked and counted without a pause in between: calls may begin at the same time. */
  const refusal = (next: "model-call" | "tool-call" | "call-again"): AgentError | undefined => {
    ended.signal.throwIfAborted();
    if (ending !== undefined || next === "call-again") return ending;
    const reached = usedUp(limits, sums(), next);
    return reached === undefined ? undefined : new AgentError("limit-exceeded", reached);
  };

  const { maxDurationSeconds = 0 } = limits;
  const timeLeftMs = maxDurationSeconds * 1000 - (used?.activeMs ?? 0);
  const timer =
    maxDurationSeconds > 0 && timeLeftMs < longestTimerMs
      ? setTimeout(
          () => {
            // Timers may come a little early by the other clock.
            const reached = usedUp(
              limits,
              { ...sums(), activeMs: Math.max(sums().activeMs, maxDurationSeconds * 1000) },
              "time",
            );
            ended.abort(new AgentError("limit-exceeded", reached ?? "The run has reached its limit of time."));
          },
          Math.max(0, timeLeftMs),
        )
      : undefined;

  return {
    ended: ended.signal,
    async beginModelCall() {
      const refused = refusal("model-call");
      if (refused !== undefined) return end(refused);
      // Counted before it is over, so that calls which run at the same time don't pass by each other.
      modelCalls += 1;
      return {
        finish(call) {
          if (call === undefined) return;
          tokens += call.inputTokens + call.outputTokens;
          costUsd += costOf?.(call) ?? 0;
        },
        fail() {
          modelCalls -= 1;
        },
      };
    },
    async beginToolCall(id) {
      const refused = refusal(toolCalls.has(id) ? "call-again" : "tool-call");
      if (refused !== undefined) await end(refused);
      toolCalls.add(id);
    },
    end,
    close: () => clearTimeout(timer),
  };
}

const key = "stigmer_budget";

/** The part of LangGraph's `configurable` by which middleware finds the budget. */
export function budgetConfig(budget: RunBudget): Readonly<Record<string, RunBudget>> {
  return { [key]: budget };
}

/** The part of a middleware's `request.runtime` that the budget needs. */
export interface BudgetRuntime {
  readonly configurable?: Readonly<Record<string, unknown>>;
}

export function budgetOf({ configurable }: BudgetRuntime): RunBudget | undefined {
  return configurable?.[key] as RunBudget | undefined;
}
