import type { ApprovalAnswer, StigmerClient } from "@stigmer/client";
import { type AgentExecution, type ToolCall, ToolCallStatus } from "@stigmer/protos/agentexecution/v1";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { plainText } from "../../output/plain-text.ts";
import { withClient } from "../../server-connection/with-client.ts";

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

/** Those that wait for a person, in the order in which they were asked for. */
export function waitingCalls({ status }: Pick<AgentExecution, "status">): ToolCall[] {
  return status?.toolCalls.filter((call) => call.status === ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL) ?? [];
}

/** What is asked, in full: what is not shown can't be approved. */
function describeCall({ name, args }: Pick<ToolCall, "name" | "args">): string {
  const command = name === "execute" ? args?.["command"] : undefined;
  return plainText(typeof command === "string" ? command : `${name} ${JSON.stringify(args ?? {})}`);
}

function theOnlyCall(execution: AgentExecution): ToolCall {
  const [first, ...others] = waitingCalls(execution);
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
  for (const call of calls) {
    io.stderr.write(`Waits for approval: ${describeCall(call)}\n`);
    io.stderr.write(`  stigmer execution approve ${executionId} ${call.id}   (or reject, skip)\n`);
  }
}

/** Asks on the terminal about each call, and sends what is answered. */
export async function askAboutCalls(
  {
    client,
    executionId,
    signal,
  }: { readonly client: StigmerClient; readonly executionId: string; readonly signal: AbortSignal },
  calls: readonly ToolCall[],
  io: CommandIo,
): Promise<void> {
  const { createInterface } = await import("node:readline/promises");
  const terminal = createInterface({ input: io.stdin, output: io.stderr });
  try {
    for (const call of calls) {
      io.stderr.write(`\n${describeCall(call)}\n`);
      if (call.approval?.reason) io.stderr.write(`  asked because: ${plainText(call.approval.reason)}\n`);
      const answer = await readAnswer(call, (question) => terminal.question(question, { signal }));
      if (answer === undefined) return;
      try {
        await client.executions.resolveApproval(executionId, call.id, answer, { signal });
      } catch (error) {
        // Somebody else may have been faster: the others still wait.
        io.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    terminal.close();
  }
}

/** Undefined when the terminal is gone. */
async function readAnswer(
  call: ToolCall,
  ask: (question: string) => Promise<string>,
): Promise<ApprovalAnswer | undefined> {
  for (;;) {
    const said = (await ask("Run it? [y]es, [a]lways in this session, [e]dit, [n]o, [s]kip: ")).trim().toLowerCase();
    if (["y", "yes"].includes(said)) return { decision: "approve" };
    if (["a", "always"].includes(said)) return { decision: "approve", forSession: true };
    if (["s", "skip"].includes(said)) return { decision: "skip" };
    if (["n", "no"].includes(said)) return { decision: "reject", reason: (await ask("Why not? ")).trim() };
    if (["e", "edit"].includes(said)) {
      const args = readArguments(call, await ask(call.name === "execute" ? "Run instead: " : "Arguments as JSON: "));
      if (args !== undefined) return { decision: "edit", args };
    }
  }
}

function readArguments({ name, args }: ToolCall, text: string): ToolCall["args"] {
  if (text.trim() === "") return undefined;
  if (name === "execute") return { ...args, command: text.trim() };
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as ToolCall["args"])
      : undefined;
  } catch {
    return undefined;
  }
}
