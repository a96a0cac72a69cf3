// What only runners call, asked in the name of runs that others hold.
import { setTimeout as sleep } from "node:timers/promises";
import { type DescMethod, type Message, toJsonString } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createId } from "@stigmer/protos";
import { RunnerController, RunOrdersSchema, type RunAnswer, type ToolCallAnswer, ToolCallClass } from "@stigmer/protos/runner/v1";
import type { PrincipalRole } from "../interceptors/role.ts";
import { CALL_KEY, pick, QUEUE, type Random } from "./random-requests.ts";

/** The header of a call by a runner that shows no run. */
const RUNNER = { headers: { authorization: "Bearer x.runner" } };
/** For Temporal to start a workflow on a machine that is busy. */
const CLAIM_WITHIN_MS = 60_000;

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

/** Which engine has the runs: runners get them from it in other ways. */
export type FuzzEngine = "embedded" | "temporal";

/** Takes a run as a runner does, and keeps it. Answers `<execution id>/<fence>`. */
export async function holdRun(transport: Transport, engine: FuzzEngine, executionId: string): Promise<string> {
  const runner = createClient(RunnerController, transport);
  if (engine === "temporal") return claimRun(runner, executionId);
  const request = { runnerId: holderOf(executionId), taskQueue: QUEUE, maxConcurrency: 1 };
  const events = runner.takeLeases(request, RUNNER)[Symbol.asyncIterator]();
  for (let next = await events.next(); !next.done; next = await events.next()) {
    const { event } = next.value;
    if (event.case !== "lease" || event.value.taskId !== executionId) continue;
    // Never answered: the stream stands as long as the connection.
    void events.next().catch(() => {});
    return `${executionId}/${event.value.fence}`;
  }
  throw new Error(`${executionId} was not given away.`);
}

/** As Temporal's activity does: the run may be claimed once the server has given it to Temporal. */
async function claimRun(runner: Client<typeof RunnerController>, executionId: string): Promise<string> {
  const request = { executionId, runnerId: holderOf(executionId), claimId: "of the fuzz" };
  for (const deadline = Date.now() + CLAIM_WITHIN_MS; ; await sleep(50)) {
    try {
      return `${executionId}/${(await runner.claimExecution(request, RUNNER)).fence}`;
    } catch (error) {
      if (ConnectError.from(error).code !== Code.FailedPrecondition || Date.now() > deadline) throw error;
    }
  }
}

/** What the holder of a run sees of it: whether it still has it, its orders, and the call's result. */
export async function readAsHolder(transport: Transport, engine: FuzzEngine, held: string): Promise<string> {
  const runner: Client<typeof RunnerController> = createClient(RunnerController, transport);
  const { executionId, fence, as } = asHolder(held);
  const seen = await (async () => {
    if (engine === "temporal") {
      // Refused where it has another holder now.
      const { orders } = await runner.checkExecution({ executionId, fence, inboxSeen: 0 }, as);
      return `orders ${orders ? toJsonString(RunOrdersSchema, orders) : ""}`;
    }
    const { lost } = await runner.heartbeat({ runnerId: holderOf(executionId), held: [{ taskId: executionId, fence }] }, as);
    return `lost ${lost.length}`;
  })();
  const request = { executionId, fence, callKey: CALL_KEY, toolName: "execute", toolClass: ToolCallClass.ONCE, requestId: "look" };
  const { outcome } = await runner.beginToolCall(request, as);
  const result = outcome.case === "recorded" ? Buffer.from(outcome.value.result).toString() : "";
  return `${held} ${seen} ${outcome.case} ${result}`;
}

/** The runner that holds a run since it was planted. */
function holderOf(executionId: string): string {
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

/** They change a run, tell what it is made from or asked, or what stands in its ledger. */
const DEEDS = ["completeLease", "releaseLease", "claimExecution", "checkExecution", "beginToolCall", "finishToolCall", "patchStatus", "resolveRun"];

/** What was done that should have been refused. */
export function undueDeedsIn({ method, role, foreign, code, answers }: Deed): string[] {
  if (!isRunnersOwn(method)) return [];
  if (role !== "runner") return code === "PermissionDenied" || code === "InvalidArgument" ? [] : [`${role} was answered ${code}`];
  if (!foreign) return [];
  if (method.localName === "recordToolCalls" || method.localName === "recordRun") {
    return (answers as (ToolCallAnswer | RunAnswer)[]).flatMap(({ answer }) => (answer.case === "refused" ? [] : [`an entry was ${answer.case}`]));
  }
  return code === "ok" && DEEDS.includes(method.localName) ? ["it was done"] : [];
}
