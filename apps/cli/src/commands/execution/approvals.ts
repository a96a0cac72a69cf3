import type { ApprovalAnswer } from "@stigmer/client";
import type { AgentExecution, ToolCall } from "@stigmer/protos/agentexecution/v1";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { waitingCalls } from "../../output/run-view/waiting-calls.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { describeCall } from "./describe-call.ts";

export interface ResolveOptions {
  readonly id: string;
  /** The call's id; may be left out when one alone waits. */
  readonly call?: string;
  readonly reason?: string;
  /** Approve what is of its kind for the whole session, too. */
  readonly session?: boolean;
}

/** Decides a tool call of a run that waits for a person. */
export function resolveCommand(decision: "approve" | "reject" | "skip") {
  return async ({ id, call, reason, session }: ResolveOptions, io: CommandIo): Promise<void> => {
    await withClient(io, async ({ client }) => {
      const toolCallId = call ?? theOnlyCall(await client.executions.get(id)).id;
      const answer: ApprovalAnswer =
        decision === "approve" ? { decision, reason, forSession: session === true } : { decision, reason };
      await client.executions.resolveApproval(id, toolCallId, answer);
      io.stdout.write(`${toolCallId} ${DONE[decision]}; execution ${id} goes on\n`);
    });
  };
}

const DONE = { approve: "is approved", reject: "is rejected", skip: "is skipped" } as const;

function theOnlyCall(execution: AgentExecution): ToolCall {
  const [first, ...others] = waitingCalls(execution.status);
  const id = execution.metadata?.id ?? "";
  if (first === undefined) throw new CliError("failed", `no tool call of execution ${id} waits for approval`);
  if (others.length === 0) return first;
  const list = [first, ...others].map((call) => `  ${call.id}  ${describeCall(call)}`).join("\n");
  throw new CliError(
    "usage",
    `${others.length + 1} tool calls of execution ${id} wait for approval; name one:\n${list}`,
  );
}

/** Tells how to decide what waits, where there is nobody to be asked. */
export function tellWaiting(executionId: string, calls: readonly ToolCall[], io: Pick<CommandIo, "stderr">): void {
  io.stderr.write("There is no terminal here to ask on: decide from elsewhere.\n");
  listWaiting(executionId, calls, io);
}

/** Each call that waits, with the command that decides it. */
export function listWaiting(executionId: string, calls: readonly ToolCall[], io: Pick<CommandIo, "stderr">): void {
  for (const call of calls) {
    io.stderr.write(`Waits for approval: ${describeCall(call)}\n`);
    io.stderr.write(`  stigmer execution approve ${executionId} ${call.id}   (or reject, skip)\n`);
  }
}
