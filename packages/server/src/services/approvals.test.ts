import { fromBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { ApprovalAction } from "@stigmer/protos/agent/v1";
import { ApprovalDecision, ApprovalScope, ExecutionPhase, ToolCallStatus } from "@stigmer/protos/agentexecution/v1";
import { type InboxApproval, InboxItemSchema } from "@stigmer/protos/runner/v1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { inSequence } from "../__fixtures__/in-sequence.ts";
import { deltaOf, moved } from "../executions/__fixtures__/open-runs.ts";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

const { EXECUTION_IN_PROGRESS, EXECUTION_PAUSED, EXECUTION_WAITING_FOR_APPROVAL } = ExecutionPhase;
const { APPROVE, EDIT, REJECT, SKIP } = ApprovalDecision;
const refused = { code: Code.FailedPrecondition };

let server: TestServer;
let id: string;
let fence: number;

beforeEach(async () => {
  server = await openTestServer();
  const agent = await server.agents.apply(given.agent("a"));
  id = (await server.executions.create(given.execution({ agentId: agent.metadata?.id }))).metadata?.id ?? "";
  ({ fence } = await server.lease());
  await tell(...moved(EXECUTION_IN_PROGRESS, { startedAt: "t0" }));
  await tell(asked("call-1", { command: "cd app && git push --force" }), asked("call-2", { command: "rm -r build" }));
});
afterEach(() => server.dispose());

const patch = inSequence((sent) => server.executions.patchStatus(sent));
async function tell(...changes: Parameters<typeof deltaOf>): Promise<void> {
  await patch({ executionId: id, fence, delta: deltaOf(...changes) });
}

function asked(callId: string, args: Record<string, string>): Parameters<typeof deltaOf>[number] {
  const status = ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL;
  const call = { id: callId, name: "execute", args, status, approval: { reason: "commands" } };
  return { change: { case: "toolCall", value: { messageId: "", call } } };
}

/** The run rests, and its runner has let go of it. */
async function rest(): Promise<void> {
  await tell(...moved(EXECUTION_WAITING_FOR_APPROVAL));
  const lease = { taskId: id, fence };
  await server.queue.release(lease, { runnerId: "r1", counted: false, availableAt: 0, pauseReason: "asks" });
}

type Input = Omit<Parameters<typeof server.executions.resolveApproval>[0], "$typeName" | "executionId">;
const resolve = (input: Input) =>
  server.executions.resolveApproval({ executionId: id, toolCallId: "call-1", ...input });
const phase = async (): Promise<number | undefined> => (await server.executions.get({ value: id })).status?.phase;

async function inbox(): Promise<InboxApproval[]> {
  const items = await server.store.queue.inbox(id, { seen: 0 });
  return items.flatMap(({ payload }) => {
    const { item } = fromBinary(InboxItemSchema, payload);
    return item.case === "approval" ? [item.value] : [];
  });
}

describe("a decision", () => {
  it("is stored with who decided and why, and wakes the run that rests for it, over a restart", async () => {
    await rest();
    server = await server.restart();
    expect(await phase()).toBe(EXECUTION_WAITING_FOR_APPROVAL);
    await expect(server.lease()).rejects.toThrow("Nothing waits.");
    const run = await resolve({ decision: REJECT, reason: "not on Friday" });
    expect(run.status?.phase).toBe(EXECUTION_IN_PROGRESS);
    expect(await inbox()).toMatchObject([
      { toolCallId: "call-1", decision: REJECT, reason: "not on Friday", decidedBy: "user of local" },
    ]);
    expect(await server.lease()).toMatchObject({ id, fence: fence + 1 });
  });

  it("is the same however often it is sent, and no other is taken after it", async () => {
    const args = { command: "git status" };
    for (let time = 0; time < 2; time += 1) await resolve({ decision: EDIT, args });
    expect(await inbox()).toHaveLength(1);
    await expect(resolve({ decision: EDIT, args: { command: "rm -r /" } })).rejects.toMatchObject(refused);
    await expect(resolve({ decision: APPROVE })).rejects.toMatchObject({
      ...refused,
      rawMessage: "call-1 (execute) was approved with other arguments by user of local already: that stays",
    });
    expect(await inbox()).toMatchObject([{ decision: EDIT, args }]);
    await resolve({ toolCallId: "call-2", decision: SKIP });
    expect(await inbox()).toHaveLength(2);
  });

  it("of two at once is the first one's: the other is told so", async () => {
    const both = await Promise.allSettled([resolve({ decision: APPROVE }), resolve({ decision: REJECT })]);
    expect(both.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    expect(await inbox()).toHaveLength(1);
  });

  it("that was carried out is still known", async () => {
    await resolve({ decision: APPROVE });
    const done = { id: "call-1", status: ToolCallStatus.TOOL_CALL_COMPLETED, approval: { decision: APPROVE } };
    await tell({ change: { case: "toolCall", value: { messageId: "", call: done } } });
    await tell(...moved(ExecutionPhase.EXECUTION_COMPLETED));
    await resolve({ decision: APPROVE });
    await expect(resolve({ decision: REJECT })).rejects.toMatchObject(refused);
  });

  it("is refused for a call that does not wait, is not there, or whose run has ended", async () => {
    const pending = { id: "call-3", name: "ls", status: ToolCallStatus.TOOL_CALL_RUNNING };
    await tell({ change: { case: "toolCall", value: { messageId: "", call: pending } } });
    await expect(resolve({ toolCallId: "call-3", decision: APPROVE })).rejects.toMatchObject({
      ...refused,
      rawMessage: "call-3 (ls) does not wait for approval: it is running",
    });
    const unknown = resolve({ toolCallId: "call-9", decision: APPROVE });
    await expect(unknown).rejects.toMatchObject({ code: Code.NotFound, rawMessage: `${id} has no tool call call-9` });
    await server.runs.fail(id, "no");
    await expect(resolve({ decision: APPROVE })).rejects.toMatchObject(refused);
    expect(await inbox()).toEqual([]);
  });

  it("is held to the contract's rules", async () => {
    const invalid = { code: Code.InvalidArgument };
    await expect(resolve({ decision: EDIT })).rejects.toMatchObject(invalid);
    await expect(resolve({ decision: APPROVE, args: {} })).rejects.toMatchObject(invalid);
    await expect(resolve({ decision: REJECT, scope: ApprovalScope.SESSION })).rejects.toMatchObject(invalid);
  });
});

describe("an approval for the session", () => {
  const rules = async () => {
    const { spec } = await server.executions.get({ value: id });
    return (await server.sessions.get({ value: spec?.sessionId ?? "" })).spec?.approvalRules ?? [];
  };

  it("lets the same program run from then on, once", async () => {
    for (let time = 0; time < 2; time += 1) await resolve({ decision: APPROVE, scope: ApprovalScope.SESSION });
    expect(await rules()).toMatchObject([
      { tools: ["execute"], commands: ["git push", "git push *"], action: ApprovalAction.ALLOW },
    ]);
    await resolve({ toolCallId: "call-2", decision: APPROVE, scope: ApprovalScope.SESSION });
    expect(await rules()).toHaveLength(2);
  });

  it("is refused where nobody knows what else it would allow", async () => {
    await tell(asked("call-3", { command: "$TOOL --all" }));
    const given = { toolCallId: "call-3", decision: APPROVE, scope: ApprovalScope.SESSION };
    await expect(resolve(given)).rejects.toMatchObject(refused);
    expect([await inbox(), await rules()]).toEqual([[], []]);
  });
});

describe("a run that waits for approval", () => {
  it("is left waiting by resume, and can be cancelled and deleted", async () => {
    await rest();
    const resumed = await server.executions.resume({ executionId: id });
    expect(resumed.status?.phase).toBe(EXECUTION_WAITING_FOR_APPROVAL);
    await expect(server.lease()).rejects.toThrow("Nothing waits.");
    await server.executions.cancel({ executionId: id, reason: "enough" });
    expect(server.asked.at(-1)).toBe(`cancel ${id} enough`);
    await server.executions.delete({ value: id });
  });

  it("is not woken by an approval while it is paused", async () => {
    await rest();
    const paused = await server.executions.pause({ executionId: id });
    expect(paused.status?.phase).toBe(EXECUTION_PAUSED);
    expect((await resolve({ decision: APPROVE })).status?.phase).toBe(EXECUTION_PAUSED);
    await expect(server.lease()).rejects.toThrow("Nothing waits.");
    await server.executions.resume({ executionId: id });
    expect(await server.lease()).toMatchObject({ id });
  });

  it("keeps its phase over a restart, and is in progress when its runner went on", async () => {
    await rest();
    server = await server.restart();
    await server.runs.recover();
    expect(await phase()).toBe(EXECUTION_WAITING_FOR_APPROVAL);
  });
});
