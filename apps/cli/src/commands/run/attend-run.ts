import type { StigmerClient } from "@stigmer/client";
import type { CommandIo } from "../../command-io.ts";
import { createApprovalDesk } from "../execution/approval-desk.ts";
import { tellWaiting } from "../execution/approvals.ts";
import { exitCodes } from "../../errors.ts";
import { createRunPrinter } from "../../output/run-view/create-run-printer.ts";
import type { RunPrinter } from "../../output/run-view/run-printer.ts";
import { waitingCalls } from "../../output/run-view/waiting-calls.ts";
import { exitCodeOf, type Followed, followRun } from "./follow-run.ts";

export interface AttendOptions {
  readonly client: StigmerClient;
  readonly executionId: string;
  readonly json: boolean;
  readonly secrets?: readonly string[];
  /**
   * What Ctrl-C does. `detach`, the default: leaves the run to itself, and a second one soon after cancels it. `leave`: only
   * leaves it. `cancel`: cancels it, and a second one leaves it.
   */
  readonly onInterrupt?: "detach" | "leave" | "cancel";
  /** Called before the first update. */
  readonly onBegin?: (printer: RunPrinter) => void;
}

/** How long a second Ctrl-C is waited for, which cancels the run. */
const secondChanceMs = 1_500;

/** Shows a run from its terminal's point of view, asks there about what waits for approval, and answers the exit code. */
export async function attendRun(options: AttendOptions, io: CommandIo): Promise<number> {
  const { client, executionId, json, onInterrupt = "detach" } = options;
  const first = new AbortController();
  const second = new AbortController();
  const third = new AbortController();
  const interrupt = (): void => [first, second, third].find(({ signal }) => !signal.aborted)?.abort();
  const stopListening = io.onSignal((signal) => {
    interrupt();
    // A service manager says it once and means it.
    if (signal === "SIGTERM") third.abort();
  });
  // One printer for both times: it knows what it has shown.
  const printer = createRunPrinter({ executionId, json, secrets: options.secrets }, io);
  options.onBegin?.(printer);
  const follow = async (signal: AbortSignal): Promise<number> => {
    const onLost = (): void =>
      aside(printer, () => io.stderr.write("The server is away; waiting for it to come back…\n"));
    const onPaused = (): void =>
      aside(printer, () => io.stderr.write(`Let it go on: stigmer execution resume ${executionId}\n`));
    const canApprove = io.stdin.isTTY === true && !json;
    const desk = canApprove
      ? createApprovalDesk({ client, executionId, printer, onInterrupt: interrupt }, io)
      : undefined;
    const stopAsking = (): void => void desk?.close();
    signal.addEventListener("abort", stopAsking);
    let followed: Followed;
    try {
      const told = { onLost, onPaused, onStatus: desk?.update };
      followed = await followRun({ client, executionId, printer, signal, canApprove, ...told });
    } finally {
      signal.removeEventListener("abort", stopAsking);
      await desk?.close();
    }
    if (followed.outcome === "stopped") return exitCodes.interrupted;
    if (followed.outcome === "waits") tellWaiting(executionId, waitingCalls(followed.status), io);
    return exitCodeOf(followed.status.phase);
  };
  const cancel = async (): Promise<void> => {
    io.stderr.write("\nCancelling…\n");
    await client.executions.cancel(executionId, "cancelled at the terminal");
  };
  try {
    const code = await follow(first.signal);
    if (!first.signal.aborted || code !== exitCodes.interrupted) return code;
    const isAsked = onInterrupt === "detach" && !third.signal.aborted;
    if (onInterrupt === "cancel") {
      await cancel();
      return await follow(second.signal);
    }
    io.stderr.write(`\n${hint(executionId, isAsked)}\n`);
    if (!isAsked || !(await aborted(second.signal, secondChanceMs))) return code;
    await cancel();
    return await follow(third.signal);
  } finally {
    printer.close();
    stopListening();
  }
}

/** Writes a line while nothing is drawn over it. */
function aside(printer: RunPrinter, write: () => void): void {
  printer.hold();
  write();
  printer.release();
}

function hint(executionId: string, canCancel: boolean): string {
  const goesOn = `The run goes on. Come back to it: stigmer run --attach ${executionId}`;
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
