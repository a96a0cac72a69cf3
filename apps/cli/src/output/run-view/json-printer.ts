import type { JsonObject } from "@bufbuild/protobuf";
import { ExecutionPhase, type ToolCall } from "@stigmer/protos/agentexecution/v1";
import { createRunReader, finalAnswer, type RunEvent } from "./run-events.ts";
import { waitingCalls } from "./waiting-calls.ts";
import type { Mask, PrinterIo, RunPrinter } from "./run-printer.ts";

/** A line of `--json`. Kept stable: scripts read it. */
export type JsonLine =
  | { readonly type: "created"; readonly executionId: string; readonly sessionId: string }
  | (Exclude<RunEvent, { type: "phase" }> & { readonly executionId: string })
  | { readonly type: "phase"; readonly executionId: string; readonly phase: string; readonly error: string }
  | { readonly type: "waiting"; readonly executionId: string; readonly calls: readonly WaitingCall[] }
  | {
      readonly type: "result";
      readonly executionId: string;
      readonly phase: string;
      readonly output: string;
      readonly error: string;
    };

/** A tool call that waits for approval, in full: what is not shown can't be approved. */
export interface WaitingCall {
  readonly toolCallId: string;
  readonly name: string;
  readonly args: JsonObject;
  /** Why somebody is asked. */
  readonly reason: string;
}

/** JSON objects, one a line, to stdout. */
export function createJsonPrinter(executionId: string, { stdout }: PrinterIo, mask: Mask): RunPrinter {
  const reader = createRunReader();
  const nameOf = (phase: ExecutionPhase): string => ExecutionPhase[phase] ?? String(phase);
  const write = (line: JsonLine): void => {
    const masked = (_: string, value: unknown): unknown => (typeof value === "string" ? mask(value) : value);
    stdout.write(`${JSON.stringify(line, masked)}\n`);
  };
  return {
    begin: ({ sessionId }) => write({ type: "created", executionId, sessionId }),
    update(status, delta) {
      for (const event of reader.read(status, delta)) {
        const { type, ...rest } = event;
        if (event.type === "phase")
          write({ type: "phase", executionId, phase: nameOf(event.phase), error: event.error });
        else write({ type, executionId, ...rest } as JsonLine);
        if (event.type === "phase" && event.phase === ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL) {
          write({ type: "waiting", executionId, calls: waitingCalls(status).map(describe) });
        }
      }
    },
    finish(status) {
      const { phase, error } = status;
      write({ type: "result", executionId, phase: nameOf(phase), output: finalAnswer(status), error });
    },
    hold: () => {},
    release: () => {},
    close: () => {},
  };
}

function describe({ id: toolCallId, name, args = {}, approval }: ToolCall): WaitingCall {
  return { toolCallId, name, args, reason: approval?.reason ?? "" };
}
