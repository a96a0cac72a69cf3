import { create, equals } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import {
  AgentExecutionStatusSchema,
  ExecutionPhase,
  MessageType,
  SubAgentStatus,
  ToolCallStatus,
  type AgentExecutionStatus,
} from "@stigmer/protos/agentexecution/v1";
import { createStatusFold, type StatusFold } from "@stigmer/status";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { inSequence } from "../__fixtures__/in-sequence.ts";
import { announceRuns } from "../fanout/announce-runs.ts";
import { deltaOf, moved, type OpenRuns, openRuns, RUN, said } from "./__fixtures__/open-runs.ts";
import type { RunEvent } from "./watcher.ts";

const { EXECUTION_IN_PROGRESS, EXECUTION_COMPLETED, EXECUTION_FAILED, EXECUTION_CANCELLED } = ExecutionPhase;

let open: OpenRuns;
let fence: number;
beforeEach(async () => {
  open = openRuns({ clock: () => Date.parse("2026-01-02T03:04:05Z") });
  await open.addRun();
  fence = await open.lease();
});
afterEach(() => open.dispose());

let patchNext: ReturnType<typeof inSequence<number>>;
beforeEach(() => {
  patchNext = inSequence((sent) => open.runs.patch(sent));
});

/** Patches with the next sequence of the current fence. */
function patch(...changes: Parameters<typeof deltaOf>): Promise<number> {
  return patchNext({ executionId: RUN, fence, delta: deltaOf(...changes) });
}

async function read(): Promise<AgentExecutionStatus> {
  const status = await open.runs.read(RUN);
  if (!status) throw new Error("The run is gone.");
  return status;
}

function follow(
  options: { id?: string; afterRevision?: number; mode?: "whole" | "deltas"; signal?: AbortSignal } = {},
): AsyncIterator<RunEvent> {
  const { id = RUN, signal = new AbortController().signal, mode = "deltas", afterRevision } = options;
  return open.runs.follow(id, { mode, afterRevision, signal })[Symbol.asyncIterator]();
}

async function next(events: AsyncIterator<RunEvent>): Promise<RunEvent> {
  const { done, value } = await events.next();
  if (done) throw new Error("The stream has ended.");
  return value;
}

/** Everything to the end, folded. */
async function foldOf(events: AsyncIterator<RunEvent>): Promise<AgentExecutionStatus | undefined> {
  let fold: StatusFold | undefined;
  for (let step = await events.next(); !step.done; step = await events.next()) {
    if (step.value.kind === "snapshot") fold = createStatusFold(step.value.status);
    else fold?.apply(step.value.delta);
  }
  return fold?.status;
}

describe("patch", () => {
  it("counts revisions and is there after a restart", async () => {
    expect(await patch(...moved(EXECUTION_IN_PROGRESS, { startedAt: "t0" }))).toBe(2);
    expect(await patch(...said("m1", "Hel"))).toBe(3);
    await open.restart();
    expect(await read()).toMatchObject({ revision: 3, phase: EXECUTION_IN_PROGRESS, startedAt: "t0" });
    expect(await patch(...said("m1", "lo", 3))).toBe(4);
    expect((await read()).messages[0]?.content).toBe("Hello");
    expect(await open.store.executions.get(RUN)).toMatchObject({
      phase: EXECUTION_IN_PROGRESS,
      startedAt: "t0",
      revision: 4,
    });
  });

  it("keeps what calls, sub-agents and skills are told with, through the log, a restart and the end of the run", async () => {
    const approval = { reason: "It deletes.", requestedAt: "t1" };
    const waiting = { id: "c2", status: ToolCallStatus.TOOL_CALL_WAITING_FOR_APPROVAL, subAgentId: "c1", approval };
    await patch(
      ...said("m1", "a"),
      { change: { case: "messageUsage", value: { messageId: "m1", usage: { model: "gpt", costMicroUsd: 5 } } } },
      { change: { case: "toolCall", value: { messageId: "m1", call: waiting } } },
      { change: { case: "subAgent", value: { subAgent: { id: "c1", parentId: "c0", usage: { modelCalls: 1 } } } } },
      { change: { case: "skills", value: { skills: [{ name: "git", versionHash: "ab", path: "skills/git.md" }] } } },
      { change: { case: "usage", value: { toolCalls: 1, costMicroUsd: 5, activeMs: 7 } } },
    );
    const told = {
      messages: [{ usage: { model: "gpt", costMicroUsd: 5 }, toolCalls: [{ approval }] }],
      toolCalls: [{ subAgentId: "c1", approval }],
      subAgentExecutions: [{ parentId: "c0", usage: { modelCalls: 1 } }],
      skills: [{ name: "git", versionHash: "ab", path: "skills/git.md" }],
      usage: { toolCalls: 1, costMicroUsd: 5, activeMs: 7 },
    };
    await open.restart();
    expect(await read()).toMatchObject(told);
    await open.runs.finish(
      RUN,
      undefined,
      Object.assign(createStatusFold().status, { phase: EXECUTION_CANCELLED, error: "Enough." }),
    );
    await open.restart();
    expect(await read()).toMatchObject({ ...told, phase: EXECUTION_CANCELLED });
    expect((await read()).toolCalls[0]?.status).toBe(ToolCallStatus.TOOL_CALL_CANCELLED);
  });

  it("applies a repeated one once, also after a restart", async () => {
    const patch1 = { executionId: RUN, fence, sequence: 1, delta: deltaOf(...said("m1", "a")) };
    expect(await open.runs.patch(patch1)).toBe(2);
    expect(await open.runs.patch(patch1)).toBe(2);
    await open.restart();
    expect(await open.runs.patch(patch1)).toBe(2);
    expect((await read()).messages).toHaveLength(1);
    expect(await open.store.executions.log(RUN, 0)).toHaveLength(1);
  });

  it("refuses a runner that another has taken over from", async () => {
    await patch(...said("m1", "a"));
    const old = fence;
    await open.store.queue.release({ taskId: RUN, fence }, { runnerId: "r", counted: true, availableAt: 0 });
    fence = await open.lease();
    const stale = open.runs.patch({
      executionId: RUN,
      fence: old,
      sequence: 9,
      delta: deltaOf(...said("m1", "zombie", 1)),
    });
    await expect(stale).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: `fence ${old} of ${RUN} is not current (${fence}): another runner has taken over, stop this run`,
    });
    await patch(...said("m1", "b", 1));
    // Also where what it says fits nothing, which is no reason to tell it something else.
    await expect(
      open.runs.patch({ executionId: RUN, fence: old, sequence: 10, delta: deltaOf(...said("m9", "zombie", 7)) }),
    ).rejects.toMatchObject({ code: Code.FailedPrecondition });
    expect((await read()).messages[0]?.content).toBe("ab");
  });

  it("stores nothing of a change that does not fit", async () => {
    await patch(...said("m1", "a"));
    await expect(patch(...said("m2", "x"), ...said("m1", "gap", 9))).rejects.toMatchObject({
      code: Code.InvalidArgument,
    });
    expect(await read()).toMatchObject({ revision: 2 });
    expect((await read()).messages).toHaveLength(1);
    await open.restart();
    expect((await read()).messages).toHaveLength(1);
  });

  it.each([
    { what: "large", keptLogBytes: 50, many: 2 },
    { what: "long", keptLogBytes: undefined, many: 33 },
  ])("compacts a $what log at the end", async ({ keptLogBytes, many }) => {
    await open.dispose();
    open = openRuns({ keptLogBytes });
    await open.addRun();
    fence = await open.lease();
    for (let index = 1; index < many; index++) await patch(...said("m1", "a", index - 1));
    await patch(...moved(EXECUTION_COMPLETED));
    expect(await open.store.executions.log(RUN, 0)).toEqual([]);
    expect(await open.store.executions.snapshot(RUN)).toMatchObject({ revision: many + 1 });
    await open.restart();
    expect(await read()).toMatchObject({ phase: EXECUTION_COMPLETED, revision: many + 1 });
  });

  it("leaves a short log as it is at the end, and compacts it with what amends the run", async () => {
    await patch(...moved(EXECUTION_IN_PROGRESS));
    for (let index = 0; index < 30; index++) await patch(...said("m1", "a", index));
    await patch(...moved(EXECUTION_COMPLETED));
    expect(await open.store.executions.log(RUN, 0)).toHaveLength(32);
    expect(await open.store.executions.snapshot(RUN)).toMatchObject({ revision: 1 });
    const events = follow({ afterRevision: 32 });
    expect(await next(events)).toMatchObject({ kind: "delta", revision: 33 });
    expect(await events.next()).toMatchObject({ done: true });
    await open.restart();
    const ended = { phase: EXECUTION_COMPLETED, revision: 33, messages: [{ content: "a".repeat(30) }] };
    expect(await read()).toMatchObject(ended);
    expect(await foldOf(follow())).toMatchObject(ended);
    await open.runs.merge(
      RUN,
      create(AgentExecutionStatusSchema, { phase: EXECUTION_COMPLETED, todos: { t: { id: "t" } } }),
    );
    await open.restart();
    expect(await read()).toMatchObject({ ...ended, revision: 34 });
    expect(await open.store.executions.log(RUN, 0)).toEqual([]);
  });

  it("takes nothing after the end but a repetition", async () => {
    await patch(...said("m1", "a"));
    await patch(...moved(EXECUTION_COMPLETED));
    const last = { executionId: RUN, fence, sequence: 2, delta: deltaOf(...moved(EXECUTION_COMPLETED)) };
    expect(await open.runs.patch(last)).toBe(3);
    await expect(patch(...moved(EXECUTION_FAILED))).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: `${RUN} has ended (completed): its status is final`,
    });
    await open.restart();
    expect(await read()).toMatchObject({
      phase: EXECUTION_COMPLETED,
      revision: 3,
      completedAt: "2026-01-02T03:04:05.000Z",
    });
    expect(await open.store.executions.get(RUN)).toMatchObject({
      ended: true,
      completedAt: "2026-01-02T03:04:05.000Z",
    });
  });

  it("says that a run does not exist", async () => {
    const missing = open.runs.patch({ executionId: "aex-x", fence: 1, sequence: 1, delta: deltaOf() });
    await expect(missing).rejects.toMatchObject({ code: Code.NotFound });
    expect(await open.runs.read("aex-x")).toBeUndefined();
  });

  it("costs what changed: the run is read once, and only the change is written", async () => {
    const reads = vi.spyOn(open.store.executions, "snapshot");
    const looks = vi.spyOn(open.store.executions, "writeState");
    await patch(...said("m1", "x".repeat(100_000)));
    for (let index = 0; index < 20; index++) await patch(...said("m1", "y", 100_000 + index));
    expect(reads).toHaveBeenCalledTimes(1);
    expect(looks).toHaveBeenCalledTimes(1);
    const log = await open.store.executions.log(RUN, 2);
    expect(log).toHaveLength(20);
    expect(Math.max(...log.map(({ delta }) => delta.length))).toBeLessThan(50);
  });

  it("keeps the order of what comes at the same time", async () => {
    await patch(...said("m1", "0"));
    const revisions = await Promise.all(
      Array.from({ length: 50 }, (_, index) => patch(...said("m1", String(index % 10), index + 1))),
    );
    expect(revisions).toEqual(Array.from({ length: 50 }, (_, index) => index + 3));
    expect((await read()).messages[0]?.content).toHaveLength(51);
  });
});

describe("merge", () => {
  const status = (init: object): AgentExecutionStatus => Object.assign(createStatusFold().status, init);

  it("replaces lists that are not empty and keeps the rest, also after the end", async () => {
    await patch(...said("m1", "a"), ...moved(EXECUTION_IN_PROGRESS, { startedAt: "t0" }));
    await open.runs.merge(RUN, status({ error: "hm", revision: 99 }));
    expect(await read()).toMatchObject({ revision: 3, error: "hm", startedAt: "t0", phase: EXECUTION_IN_PROGRESS });
    expect((await read()).messages).toHaveLength(1);
    await open.runs.merge(RUN, status({ phase: EXECUTION_COMPLETED }));
    const merged = status({
      phase: EXECUTION_IN_PROGRESS,
      messages: [...(await read()).messages, ...(await read()).messages],
    });
    await open.runs.merge(RUN, merged);
    await open.restart();
    expect(await read()).toMatchObject({ phase: EXECUTION_COMPLETED, revision: 5 });
    expect((await read()).messages).toHaveLength(2);
  });

  it("keeps the log of an older runner, which sends everything each time, in bounds", async () => {
    await open.dispose();
    open = openRuns({ compactAfterBytes: 1000 });
    await open.addRun();
    for (let length = 1; length <= 100; length++) {
      const message = Object.assign(createMessage(), { content: "x".repeat(length * 10) });
      await open.runs.merge(RUN, status({ messages: [message] }));
    }
    const log = await open.store.executions.log(RUN, 0);
    expect(log.reduce((sum, { delta }) => sum + delta.length, 0)).toBeLessThan(3500);
    await open.restart();
    expect(await read()).toMatchObject({ revision: 101 });
    expect((await read()).messages[0]?.content).toHaveLength(1000);
  });

  function createMessage(): AgentExecutionStatus["messages"][number] {
    const fold = createStatusFold();
    fold.apply(deltaOf(...said("m", "x")));
    return fold.status.messages[0]!;
  }
});

describe("the end that the engine tells", () => {
  it("closes what was open, once", async () => {
    await patch(
      ...said("m1", "a"),
      {
        change: {
          case: "toolCall",
          value: { messageId: "m1", call: { id: "c1", name: "t", status: ToolCallStatus.TOOL_CALL_RUNNING } },
        },
      },
      {
        change: {
          case: "toolCall",
          value: { messageId: "m1", call: { id: "c2", name: "t", status: ToolCallStatus.TOOL_CALL_PENDING } },
        },
      },
      {
        change: {
          case: "toolCall",
          value: { messageId: "m1", call: { id: "c3", name: "t", status: ToolCallStatus.TOOL_CALL_COMPLETED } },
        },
      },
      {
        change: {
          case: "subAgent",
          value: { subAgent: { id: "c1", name: "s", status: SubAgentStatus.SUB_AGENT_IN_PROGRESS } },
        },
      },
    );
    await open.runs.fail(RUN, "Given up.");
    await open.runs.fail(RUN, "Again.");
    await open.runs.finish(RUN, fence, undefined);
    const status = await read();
    expect(status).toMatchObject({ phase: EXECUTION_FAILED, error: "Given up.", revision: 3 });
    expect(status.toolCalls.map((call) => call.status)).toEqual([
      ToolCallStatus.TOOL_CALL_OUTCOME_UNKNOWN,
      ToolCallStatus.TOOL_CALL_CANCELLED,
      ToolCallStatus.TOOL_CALL_COMPLETED,
    ]);
    expect(status.messages[0]?.toolCalls.map((call) => call.status)).toEqual(
      status.toolCalls.map((call) => call.status),
    );
    expect(status.subAgentExecutions[0]?.status).toBe(SubAgentStatus.SUB_AGENT_FAILED);
    expect(status.messages.at(-1)).toMatchObject({ type: MessageType.MESSAGE_SYSTEM, content: "Given up." });
  });

  it("is taken over with error and times, and what is no end is a failure", async () => {
    const cancelled = Object.assign(createStatusFold().status, {
      phase: EXECUTION_CANCELLED,
      error: "why",
      completedAt: "t9",
    });
    await open.runs.finish(RUN, undefined, cancelled);
    expect(await read()).toMatchObject({ phase: EXECUTION_CANCELLED, error: "why", completedAt: "t9" });
    expect((await read()).messages).toEqual([]);
    await open.addRun("aex-2");
    await open.runs.finish("aex-2", undefined, createStatusFold().status);
    expect(await open.runs.read("aex-2")).toMatchObject({ phase: EXECUTION_FAILED });
  });

  it("is left to the successor when it comes from a lost runner", async () => {
    const old = fence;
    await open.store.queue.release({ taskId: RUN, fence }, { runnerId: "r", counted: true, availableAt: 0 });
    fence = await open.lease();
    await open.runs.finish(RUN, old, Object.assign(createStatusFold().status, { phase: EXECUTION_FAILED }));
    expect(await read()).toMatchObject({ phase: ExecutionPhase.EXECUTION_PENDING });
  });

  it("is made for a run that a crash left to nobody", async () => {
    await patch(...said("m1", "a"));
    await open.store.queue.complete({ taskId: RUN, fence }, "r");
    await open.restart();
    await open.runs.recover();
    expect(await read()).toMatchObject({
      phase: EXECUTION_FAILED,
      error: "The run was lost in a crash. Start it again.",
    });
  });
});

describe("follow", () => {
  it("begins with a snapshot, goes on with what changes, ends with the run", async () => {
    await patch(...said("m1", "a"));
    const events = follow();
    expect(await next(events)).toMatchObject({ kind: "snapshot", revision: 2 });
    await patch(...said("m1", "b", 1));
    expect(await next(events)).toMatchObject({ kind: "delta", revision: 3 });
    await patch(...moved(EXECUTION_COMPLETED));
    expect(await next(events)).toMatchObject({ kind: "delta", revision: 4 });
    expect((await events.next()).done).toBe(true);
  });

  it("resumes after a revision, also when the server restarted in between", async () => {
    for (const [index, text] of ["a", "b", "c"].entries()) await patch(...said("m1", text, index));
    await open.restart();
    const events = follow({ afterRevision: 2 });
    const event = await next(events);
    expect(event).toMatchObject({ kind: "delta", revision: 4 });
    await patch(...moved(EXECUTION_COMPLETED));
    expect(await next(events)).toMatchObject({ kind: "delta", revision: 5 });
    expect((await events.next()).done).toBe(true);
  });

  it("gives a snapshot where changes are no longer kept, and nothing to who has all", async () => {
    await open.dispose();
    open = openRuns({ keptLogBytes: 0 });
    await open.addRun();
    fence = await open.lease();
    await patch(...said("m1", "a"));
    await patch(...moved(EXECUTION_COMPLETED));
    for (const afterRevision of [0, 1, 2, 77]) {
      const events = follow({ afterRevision });
      expect(await next(events)).toMatchObject({ kind: "snapshot", revision: 3 });
      expect((await events.next()).done).toBe(true);
    }
    expect((await follow({ afterRevision: 3 }).next()).done).toBe(true);
    expect(await next(follow({ mode: "whole" }))).toMatchObject({ kind: "snapshot", revision: 3 });
  });

  it("tells whoever has all of the next change", async () => {
    const events = follow({ afterRevision: 1 });
    const first = next(events);
    await patch(...said("m1", "a"));
    expect(await first).toMatchObject({ kind: "delta", revision: 2 });
  });

  it("does not wait for a watcher that stalls, and gives it everything when it comes back", async () => {
    const stalled = follow();
    await next(stalled);
    const quick = follow();
    await next(quick);
    await patch(...said("m1", "0"));
    for (let index = 1; index < 500; index++) {
      await patch(...said("m1", "x", index));
      if (index % 100 === 0) await next(quick);
    }
    await patch(...moved(EXECUTION_COMPLETED));
    expect(await next(stalled)).toMatchObject({ kind: "delta", revision: 502 });
    expect((await stalled.next()).done).toBe(true);
  });

  it("gives a watcher that stalls for long a snapshot instead of a heap of changes", async () => {
    await open.dispose();
    open = openRuns({ maxPendingBytes: 2000 });
    await open.addRun();
    fence = await open.lease();
    const events = follow();
    await next(events);
    for (let index = 0; index < 10; index++) await patch(...said("m1", "x".repeat(500), index * 500));
    expect(await next(events)).toMatchObject({ kind: "snapshot", revision: 11 });
    await patch(...said("m1", "y", 5000));
    expect(await next(events)).toMatchObject({ kind: "delta", revision: 12 });
  });

  it("gives whole runs only, the latest one to a slow reader", async () => {
    const events = follow({ mode: "whole" });
    expect(await next(events)).toMatchObject({ kind: "snapshot", revision: 1 });
    await patch(...said("m1", "a"));
    await patch(...said("m1", "b", 1));
    await patch(...moved(EXECUTION_COMPLETED));
    expect(await next(events)).toMatchObject({ kind: "snapshot", revision: 4, status: { phase: EXECUTION_COMPLETED } });
    expect((await events.next()).done).toBe(true);
  });

  it("stops when its signal says so, when the run is deleted, and when the server closes", async () => {
    const controller = new AbortController();
    const aborted = follow({ afterRevision: 1, signal: controller.signal });
    const end = aborted.next();
    const deleted = follow({ afterRevision: 1 });
    const gone = deleted.next();
    controller.abort();
    expect((await end).done).toBe(true);
    // The second has joined once a change comes through it.
    await patch(...said("m1", "a"));
    expect(await gone).toMatchObject({ value: { revision: 2 } });
    const afterDelete = deleted.next();
    await announceRuns(open.store, open.runs).executions.delete(RUN);
    await expect(afterDelete).rejects.toMatchObject({ code: Code.NotFound });
    await open.addRun("aex-2");
    const closing = follow({ id: "aex-2" });
    await next(closing);
    const afterClose = closing.next();
    open.runs.close();
    await expect(afterClose).rejects.toMatchObject({ code: Code.Unavailable });
    await expect(follow({ id: "aex-2" }).next()).rejects.toMatchObject({ code: Code.Unavailable });
    const missing = open.runs.follow("aex-x", { mode: "whole", signal: controller.signal })[Symbol.asyncIterator]();
    await expect(missing.next()).rejects.toMatchObject({ code: Code.NotFound });
  });

  it("folds to the stored status", async () => {
    const events = follow();
    const folded = foldOf(events);
    for (let index = 0; index < 20; index++)
      await patch(...said(`m${index % 3}`, "é", index < 3 ? 0 : 2 * Math.floor(index / 3)));
    await patch(...moved(EXECUTION_COMPLETED));
    const result = await folded;
    const stored = await read();
    if (!result) throw new Error("Nothing was folded.");
    expect(equals(AgentExecutionStatusSchema, { ...result, revision: 0 }, { ...stored, revision: 0 })).toBe(true);
  });
});
