import type { StigmerClient } from "@stigmer/client";
import type { AgentExecutionStatus } from "@stigmer/protos/agentexecution/v1";
import type { CommandIo } from "../../command-io.ts";
import { askAboutCalls, tellWaiting, waitingCalls } from "../execution/approvals.ts";
import { exitCodes } from "../../errors.ts";
import { createRunPrinter } from "../../output/run-view/create-run-printer.ts";
import type { RunPrinter } from "../../output/run-view/run-printer.ts";
import { exitCodeOf, followRun } from "./follow-run.ts";

export interface AttendOptions {
  readonly client: StigmerClient;
  readonly executionId: string;
  readonly json: boolean;
  readonly secrets?: readonly string[];
  /** How long a second Ctrl-C is waited for, which cancels the run. Default 1,500 ms; 0: Ctrl-C only stops watching. */
  readonly secondChanceMs?: number;
  /** Called before the first update. */
  readonly onBegin?: (printer: RunPrinter) => void;
}

/**
 * Shows a run from its terminal's point of view and answers the exit code. Ctrl-C leaves the run to itself, and a second
 * one cancels it.
 */
export async function attendRun(options: AttendOptions, io: CommandIo): Promise<number> {
  const { client, executionId, secondChanceMs = 1_500 } = options;
  const first = new AbortController();
  const second = new AbortController();
  const third = new AbortController();
  const stopListening = io.onSignal((signal) => {
    const next = [first, second, third].find((controller) => !controller.signal.aborted);
    next?.abort();
    // A service manager says it once and means it.
    if (signal === "SIGTERM") third.abort();
  });
  // One printer for both times: it knows what it has shown.
  const printer = createRunPrinter({ executionId, json: options.json, secrets: options.secrets }, io);
  options.onBegin?.(printer);
  const follow = async (signal: AbortSignal): Promise<number> => {
    const onLost = (): void => void io.stderr.write("The server is away; waiting for it to come back…\n");
    const canApprove = io.stdin.isTTY === true && !options.json;
    const onPaused = (): void => void io.stderr.write(`Let it go on: stigmer execution resume ${executionId}\n`);
    const onWaiting = (status: AgentExecutionStatus): Promise<void> =>
      askAboutCalls({ client, executionId, signal }, waitingCalls({ status }), io);
    const told = { onLost, onPaused, onWaiting };
    const followed = await followRun({ client, executionId, printer, signal, canApprove, ...told });
    if (followed.outcome === "stopped") return exitCodes.interrupted;
    if (followed.outcome === "waits") tellWaiting(executionId, waitingCalls(followed), io);
    return exitCodeOf(followed.status.phase);
  };
  try {
    const code = await follow(first.signal);
    if (!first.signal.aborted || code !== exitCodes.interrupted) return code;
    io.stderr.write(`\n${hint(executionId, secondChanceMs > 0)}\n`);
    if (secondChanceMs === 0 || third.signal.aborted || !(await aborted(second.signal, secondChanceMs))) return code;
    io.stderr.write("Cancelling…\n");
    await client.executions.cancel(executionId, "cancelled at the terminal");
    return await follow(third.signal);
  } finally {
    stopListening();
  }
}

function hint(executionId: string, canCancel: boolean): string {
  const goesOn = `The run goes on. Watch it: stigmer execution watch ${executionId}`;
  return canCancel ? `${goesOn}\nCancel it: Ctrl-C again, or stigmer execution cancel ${executionId}` : goesOn;
}

/** Whether `signal` is aborted within that time. */
function aborted(signal: AbortSignal, withinMs: number): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(true);
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), withinMs);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
