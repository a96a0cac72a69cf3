// What only runners call, asked in the name of runs that others hold.
import type { DescMethod, Message } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createId } from "@stigmer/protos";
import { RunnerController, type ToolCallAnswer, ToolCallClass } from "@stigmer/protos/runner/v1";
import type { PrincipalRole } from "../interceptors/role.ts";
import { CALL_KEY, pick, type Random } from "./random-requests.ts";

/** Runners are of no organisation: what they say of a run names its fence. */
export function isRunnersOwn({ parent, localName }: DescMethod): boolean {
  return parent.typeName === RunnerController.typeName || localName === "patchStatus";
}

/** A number that is not the fence of the run in work: of the next runner, of one before, or out of the air. */
export function foreignFence(random: Random, held: string): number {
  const own = Number(held.split("/")[1]);
  return pick(random, [1, 2, 3, 7, 1000, 4_294_967_295].filter((fence) => fence !== own));
}

/** A call that is over, whose result is the organisation's. */
export async function plantCall(transport: Transport, held: string, result: string): Promise<void> {
  const runner = createClient(RunnerController, transport);
  const { executionId, fence, as } = asHolder(held);
  const call = { executionId, fence, callKey: CALL_KEY };
  await runner.beginToolCall({ ...call, toolName: "execute", toolClass: ToolCallClass.ONCE, requestId: createId("AgentExecution") }, as);
  await runner.finishToolCall({ ...call, result: Buffer.from(result) }, as);
}

/** What the holder of a run sees of it: whether it still has it, its orders, and the call's result. */
export async function readAsHolder(transport: Transport, held: string): Promise<string> {
  const runner: Client<typeof RunnerController> = createClient(RunnerController, transport);
  const { executionId, fence, as } = asHolder(held);
  const lease = { taskId: executionId, fence };
  const { lost } = await runner.heartbeat({ runnerId: holderOf(executionId), held: [lease] }, as);
  const request = { executionId, fence, callKey: CALL_KEY, toolName: "execute", toolClass: ToolCallClass.ONCE, requestId: "look" };
  const { outcome } = await runner.beginToolCall(request, as);
  const result = outcome.case === "recorded" ? Buffer.from(outcome.value.result).toString() : "";
  return `${held} lost ${lost.length} ${outcome.case} ${result}`;
}

/** The runner that holds a run since it was planted. */
export function holderOf(executionId: string): string {
  return `holder of ${executionId}`;
}

function asHolder(held: string): { executionId: string; fence: number; as: { headers: Record<string, string> } } {
  const [executionId = "", fence = ""] = held.split("/");
  return { executionId, fence: Number(fence), as: { headers: { authorization: "Bearer x.runner", "stigmer-fence": held } } };
}

export interface Deed {
  readonly method: DescMethod;
  readonly role: PrincipalRole;
  /** Whether each request of it names a run that its caller does not hold. */
  readonly foreign: boolean;
  readonly code: string;
  readonly answers: readonly Message[];
}

/** They change a run, or tell what stands in its ledger. */
const DEEDS = ["completeLease", "releaseLease", "checkExecution", "beginToolCall", "finishToolCall", "patchStatus"];

/** What was done that should have been refused. */
export function undueDeedsIn({ method, role, foreign, code, answers }: Deed): string[] {
  if (!isRunnersOwn(method)) return [];
  if (role !== "runner") return code === "PermissionDenied" || code === "InvalidArgument" ? [] : [`${role} was answered ${code}`];
  if (!foreign) return [];
  if (method.localName === "recordToolCalls") {
    return (answers as ToolCallAnswer[]).flatMap(({ answer }) => (answer.case === "refused" ? [] : [`an entry was ${answer.case}`]));
  }
  return code === "ok" && DEEDS.includes(method.localName) ? ["it was done"] : [];
}
