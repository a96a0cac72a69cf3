import { createHash } from "node:crypto";
import { ToolMessage } from "@langchain/core/messages";
import type { StructuredTool } from "@langchain/core/tools";
import { type AgentMiddleware, createMiddleware } from "langchain";
import { callKeyOf } from "../ledger/call-key.ts";
import { fitsSchema } from "../ledger/fits-schema.ts";
import { RestNow } from "../run-control/run-gate.ts";
import { placeOf } from "../sub-agents/background-place.ts";
import { type ApprovalPolicy, evaluate } from "./policy.ts";
import { type ApprovalDecision, approvalsOf, NEWS, type WaitingCall } from "./run-approvals.ts";
import { risksOf } from "./tool-risks.ts";

export interface ApprovalOptions extends ApprovalPolicy {
  /** Nobody is there to be asked: what would be, runs. What is refused stays so. Default false. */
  readonly autoApprove?: boolean;
}

interface Runtime {
  readonly configurable?: Readonly<Record<string, unknown>>;
  readonly writer?: (chunk: unknown) => void;
}

/**
 * Asks a person before the tools that the policy names are run. A call that waits ends the graph where it stands, as a pause
 * does: what runs beside it comes to its end and is kept, and when the run goes on the call is looked at again. Nothing of it is
 * kept in the graph, so any number may wait, at any depth. Stands outside of the ledger: what waits has not begun.
 */
export function approvals(policy: ApprovalOptions): AgentMiddleware {
  return createMiddleware({
    name: "approvals",
    wrapToolCall: async (request, handler) => {
      const { id = "", name, args } = request.toolCall;
      const runtime = request.runtime as Runtime;
      const tool = request.tool as StructuredTool | undefined;
      const run = approvalsOf(runtime);
      // LangChain refuses by itself what no tool would be run for.
      if (run === undefined || tool === undefined || !(await fitsSchema(tool, args))) return handler(request);

      const checkpointNs = placeOf(runtime.configurable);
      const callKey = digest(callKeyOf({ messages: request.state.messages, id, checkpointNs }));
      const place = checkpointNs.split("|");
      // What a person said holds, whatever the policy has become since.
      const decision = run.decisionOn(callKey);
      if (decision !== undefined) {
        run.carryOut({ callKey, id, name, args, place, reason: "" }, decision);
        runtime.writer?.(NEWS);
        return decided(decision, { id, name, tool }, (edited) =>
          handler(edited === undefined ? request : { ...request, toolCall: { ...request.toolCall, args: edited } }),
        );
      }
      const { action, reason } = evaluate(policy, { name, args, risks: risksOf(name, tool) }, run.rules);
      if (action === "deny") return refusal({ id, name }, denied(name, reason));
      if (action === "allow" || policy.autoApprove === true) return handler(request);
      const call: WaitingCall = { callKey, id, name, args, place, reason };
      run.wait(call);
      runtime.writer?.(NEWS);
      throw new RestNow();
    },
  });
}

interface DecidedCall {
  readonly id: string;
  readonly name: string;
  readonly tool: StructuredTool;
}

async function decided<Result>(
  { decision, reason = "", args }: ApprovalDecision,
  { id, name, tool }: DecidedCall,
  run: (args?: Readonly<Record<string, unknown>>) => Result | Promise<Result>,
): Promise<Result | ToolMessage> {
  switch (decision) {
    case "approve":
      return run();
    case "reject":
      return refusal({ id, name }, rejected(name, reason));
    case "skip":
      return refusal(
        { id, name },
        `This call of ${name} was skipped: it was not run. Go on without its result.`,
        "success",
      );
    case "edit": {
      if (args === undefined || !(await fitsSchema(tool, args))) {
        return refusal(
          { id, name },
          `A person changed what ${name} is called with, but so the tool can't be called: it was not run.`,
        );
      }
      return withNote(await run(args), args);
    }
  }
}

/** The marker in `additional_kwargs` tells the status that the tool was not run. */
function refusal(
  { id, name }: Pick<DecidedCall, "id" | "name">,
  content: string,
  status: "error" | "success" = "error",
): ToolMessage {
  const additional_kwargs = { tool_call_outcome: "refused" };
  return new ToolMessage({ content, tool_call_id: id, name, status, additional_kwargs });
}

function denied(name: string, reason: string): string {
  return `This call of ${name} is not allowed here and was not run: ${reason}. Don't try it in another way; do without it, or say what you would need.`;
}

function rejected(name: string, reason: string): string {
  const why = reason === "" ? "" : ` They said: ${reason}`;
  return `A person refused this call of ${name}: it was not run.${why}`;
}

/** The model asked for something else than was run. */
function withNote<Result>(result: Result, args: Readonly<Record<string, unknown>>): Result {
  if (!ToolMessage.isInstance(result)) return result;
  const note = `[A person changed this call before it was run, to ${JSON.stringify(args)}]`;
  const { content } = result;
  const noted =
    typeof content === "string" ? `${note}\n${content}` : [{ type: "text" as const, text: note }, ...content];
  return new ToolMessage({ ...result, content: noted as string }) as Result;
}

function digest(callKey: string): string {
  return createHash("sha256").update(callKey).digest("hex").slice(0, 32);
}
