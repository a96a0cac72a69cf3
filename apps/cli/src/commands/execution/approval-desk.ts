import type { StigmerClient } from "@stigmer/client";
import type { AgentExecutionStatus, ToolCall } from "@stigmer/protos/agentexecution/v1";
import type { CommandIo } from "../../command-io.ts";
import type { RunPrinter } from "../../output/run-view/run-printer.ts";
import { waitingCalls } from "../../output/run-view/waiting-calls.ts";
import { askApproval } from "./ask-approval.ts";

export interface ApprovalDeskOptions {
  readonly client: StigmerClient;
  readonly executionId: string;
  /** Held while somebody is asked. */
  readonly printer: Pick<RunPrinter, "hold" | "release">;
  readonly onInterrupt: () => void;
}

/** Asks about the calls of a run that wait, one after the other, while the run is watched on. */
export interface ApprovalDesk {
  /** Asks about what waits now, and gives up a question that somebody else has answered. */
  update(status: AgentExecutionStatus): void;
  /** Asks nothing more. */
  close(): Promise<void>;
}

export function createApprovalDesk(options: ApprovalDeskOptions, io: CommandIo): ApprovalDesk {
  const { client, executionId, printer, onInterrupt } = options;
  const closed = new AbortController();
  /** Ids of calls that were asked about or will be. */
  const known = new Set<string>();
  const queue: ToolCall[] = [];
  let current: { readonly id: string; readonly answered: AbortController } | undefined;
  let working: Promise<void> | undefined;

  async function ask(call: ToolCall): Promise<void> {
    const answered = new AbortController();
    current = { id: call.id, answered };
    const signal = AbortSignal.any([closed.signal, answered.signal]);
    try {
      const answer = await askApproval(call, { signal, onInterrupt }, io);
      await client.executions.resolveApproval(executionId, call.id, answer, { signal: closed.signal });
    } catch (error) {
      if (closed.signal.aborted) return;
      // Somebody else may have been faster: the others still wait.
      const told = answered.signal.aborted ? "  Decided elsewhere." : error instanceof Error ? error.message : error;
      io.stderr.write(`\n${String(told)}\n`);
    } finally {
      current = undefined;
    }
  }

  async function work(): Promise<void> {
    for (let call = queue.shift(); call !== undefined && !closed.signal.aborted; call = queue.shift()) {
      printer.hold();
      await ask(call);
      printer.release();
    }
    working = undefined;
  }

  return {
    update(status) {
      const waiting = waitingCalls(status);
      const ids = new Set(waiting.map(({ id }) => id));
      for (const id of known) {
        if (ids.has(id)) continue;
        known.delete(id);
        const at = queue.findIndex((call) => call.id === id);
        if (at >= 0) queue.splice(at, 1);
        if (current?.id === id) current.answered.abort();
      }
      for (const call of waiting) {
        if (known.has(call.id)) continue;
        known.add(call.id);
        queue.push(call);
      }
      if (queue.length > 0) working ??= work();
    },
    async close() {
      closed.abort();
      await working;
    },
  };
}
