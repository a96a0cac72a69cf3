// What a runner counts; docs/reference/metrics.md has the same list.
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { CallObserver } from "@stigmer/agent";
import type { Meters } from "@stigmer/telemetry";

/** How a run left this runner. */
export type RunEnd = "completed" | "failed" | "cancelled" | "paused" | "handed-back" | "lost" | "unreported";

/** What the parts of a runner report. */
export interface RunnerMetrics {
  readonly observer: CallObserver;
  /** A run begins here. Answers the function to be called when it has left. */
  runBegan(): (end: RunEnd) => void;
  modelRetried(): void;
  sandboxOpened(type: string, outcome: "opened" | "failed"): void;
  statusSent(outcome: "stored" | "failed"): void;
}

export interface WatchedConnections {
  readonly engine: () => boolean;
  /** Left out where there is none. */
  readonly redis?: () => boolean;
}

/** Names that agents make up are many; beyond so many they are counted together. */
const MOST_NAMES = 200;

/** Counts nothing. */
export const noRunnerMetrics: RunnerMetrics = {
  observer: { modelCall: () => () => {}, toolCall: () => () => {} },
  runBegan: () => () => {},
  modelRetried: () => {},
  sandboxOpened: () => {},
  statusSent: () => {},
};

export function createRunnerMetrics(meters: Meters): RunnerMetrics {
  const runs = meters.counter({
    name: "stigmer_runner_runs_total",
    help: "Runs that left this runner, by how.",
    labels: ["end"],
  });
  let active = 0;
  meters.gauge({
    name: "stigmer_runner_runs_active",
    help: "Runs at work in this runner.",
    read: () => [{ value: active }],
  });
  const modelCalls = meters.counter({
    name: "stigmer_runner_model_calls_total",
    help: "Tries of model calls that ended.",
    labels: ["provider", "model", "outcome"],
  });
  const modelSeconds = meters.histogram({
    name: "stigmer_runner_model_call_seconds",
    help: "Duration of tries of model calls.",
    labels: ["provider", "model"],
    buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160],
  });
  const tokens = meters.counter({
    name: "stigmer_runner_model_tokens_total",
    help: "Tokens that models read (input) and wrote (output).",
    labels: ["provider", "model", "direction"],
  });
  const retries = meters.counter({
    name: "stigmer_runner_model_retries_total",
    help: "Model calls that failed and were made again.",
  });
  const toolCalls = meters.counter({
    name: "stigmer_runner_tool_calls_total",
    help: "Tools that were run.",
    labels: ["tool", "outcome"],
  });
  const toolSeconds = meters.histogram({
    name: "stigmer_runner_tool_call_seconds",
    help: "Duration of tool calls.",
    labels: ["tool"],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300],
  });
  const sandboxes = meters.counter({
    name: "stigmer_runner_sandboxes_total",
    help: "Sandboxes that were opened, or could not be.",
    labels: ["type", "outcome"],
  });
  const sends = meters.counter({
    name: "stigmer_runner_status_sends_total",
    help: "Status changes that were sent to the server.",
    labels: ["outcome"],
  });
  // There from the start, so that a first failure shows as a rise.
  retries.add(0);
  for (const outcome of ["stored", "failed"]) sends.add(0, { outcome });
  for (const end of ["completed", "failed", "cancelled"]) runs.add(0, { end });
  const toolName = fewNames();
  const modelName = fewNames();

  return {
    observer: {
      modelCall({ provider, model: named }) {
        const model = modelName(named);
        const begun = performance.now();
        return ({ outcome, inputTokens = 0, outputTokens = 0 }) => {
          modelCalls.add(1, { provider, model, outcome });
          modelSeconds.record(secondsSince(begun), { provider, model });
          tokens.add(inputTokens, { provider, model, direction: "input" });
          tokens.add(outputTokens, { provider, model, direction: "output" });
        };
      },
      toolCall({ name }) {
        const tool = toolName(name);
        const begun = performance.now();
        return ({ outcome }) => {
          toolCalls.add(1, { tool, outcome });
          toolSeconds.record(secondsSince(begun), { tool });
        };
      },
    },
    runBegan() {
      active += 1;
      return (end) => {
        active -= 1;
        runs.add(1, { end });
      };
    },
    modelRetried: () => retries.add(1),
    sandboxOpened: (type, outcome) => sandboxes.add(1, { type, outcome }),
    statusSent: (outcome) => sends.add(1, { outcome }),
  };
}

/** What shows how the process is, whatever it works on. Answers the function that ends it. */
export function watchProcess(meters: Meters, connections: WatchedConnections): () => void {
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  meters.gauge({
    name: "stigmer_runner_event_loop_lag_seconds",
    help: "The 99th percentile of how late timers came since the last look.",
    read() {
      const value = delay.count === 0 ? 0 : delay.percentile(99) / 1e9;
      delay.reset();
      return [{ value }];
    },
  });
  meters.gauge({
    name: "stigmer_runner_connected",
    help: "1 while the engine can give this runner work, and Redis can be asked.",
    labels: ["to"],
    read: () =>
      Object.entries(connections).map(([to, isConnected]) => ({ value: isConnected() ? 1 : 0, labels: { to } })),
  });
  return () => delay.disable();
}

/** Of both. */
export function bothObservers(one: CallObserver, other: CallObserver): CallObserver {
  return {
    modelCall(call) {
      const ended = [one.modelCall(call), other.modelCall(call)];
      return (end) => ended.forEach((tell) => tell(end));
    },
    toolCall(call) {
      const ended = [one.toolCall(call), other.toolCall(call)];
      return (end) => ended.forEach((tell) => tell(end));
    },
  };
}

function fewNames(): (name: string) => string {
  const known = new Set<string>();
  return (name) => {
    if (!known.has(name) && known.size < MOST_NAMES) known.add(name);
    return known.has(name) ? name : "other";
  };
}

function secondsSince(begun: number): number {
  return (performance.now() - begun) / 1_000;
}
