import { Code } from "@connectrpc/connect";
import { createId } from "@stigmer/protos";
import { ExecutionPhase, WhenBusy } from "@stigmer/protos/agentexecution/v1";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { inSequence } from "../__fixtures__/in-sequence.ts";
import { deltaOf, moved, said } from "../executions/__fixtures__/open-runs.ts";
import { followUnheard } from "../executions/follow-unheard.ts";
import { silentLogger } from "../logger.ts";
import { given, openTestServer, type TestServer } from "./__fixtures__/open-test-server.ts";

const { EXECUTION_IN_PROGRESS, EXECUTION_PAUSED, EXECUTION_COMPLETED, EXECUTION_CANCELLED } = ExecutionPhase;

let server: TestServer;
let sessionId: string;
let first: string;
beforeEach(async () => {
  server = await openTestServer();
  const agent = await server.agents.apply(given.agent("a"));
  const run = await server.executions.create(given.execution({ agentId: agent.metadata?.id, message: "First." }));
  sessionId = run.spec?.sessionId ?? "";
  first = run.metadata?.id ?? "";
});
afterEach(() => server.dispose());

const send = (message: string, whenBusy?: WhenBusy, metadata?: object) =>
  server.executions.create(given.execution({ sessionId, message, whenBusy }, metadata));
const idOf = (run: Awaited<ReturnType<typeof send>>): string => run.metadata?.id ?? "";

async function runs(): Promise<string[]> {
  const { entries } = await server.executions.listBySession({ sessionId });
  return entries.map((run) => run.spec?.message ?? "").toReversed();
}

const patch = inSequence((sent) => server.executions.patchStatus(sent));
const tell = (executionId: string, fence: number, ...changes: Parameters<typeof deltaOf>) =>
  patch({ executionId, fence, delta: deltaOf(...changes) });

async function begin(): Promise<number> {
  const { fence } = await server.lease();
  await tell(first, fence, ...moved(EXECUTION_IN_PROGRESS, { startedAt: "t0" }));
  return fence;
}

async function end(fence: number, phase: ExecutionPhase = EXECUTION_COMPLETED): Promise<void> {
  await tell(first, fence, ...moved(phase));
  await followUnheard(first, { ...server, taskQueue: "agent_execution_runner", logger: silentLogger, clock: Date.now });
  await server.queue.complete({ taskId: first, fence }, "r1");
}

describe("queue", () => {
  it("lets a run wait for those before it, paused ones too, by default", async () => {
    const second = await send("Second.");
    const third = await send("Third.", WhenBusy.QUEUE);
    const fence = await begin();
    await expect(server.lease()).rejects.toThrow("Nothing waits.");
    await server.executions.pause({ executionId: first });
    await tell(first, fence, ...moved(EXECUTION_PAUSED));
    await server.queue.release({ taskId: first, fence }, { runnerId: "r1", counted: false, availableAt: 0 });
    await expect(server.lease()).rejects.toThrow("Nothing waits.");
    await server.executions.resume({ executionId: first });
    const again = await server.lease();
    expect(again.id).toBe(first);
    await end(again.fence);
    const next = await server.lease();
    expect(next.id).toBe(idOf(second));
    await server.queue.complete({ taskId: next.id, fence: next.fence }, "r1");
    expect((await server.lease()).id).toBe(idOf(third));
  });
});

describe("refuse", () => {
  it("names the run that is in the way, whether it works, waits or rests, and makes none", async () => {
    const refusal = {
      code: Code.FailedPrecondition,
      message: expect.stringContaining(`${first} has not ended`) as string,
    };
    await expect(send("No.", WhenBusy.REFUSE)).rejects.toMatchObject(refusal);
    const fence = await begin();
    await expect(send("No.", WhenBusy.REFUSE)).rejects.toMatchObject(refusal);
    expect(await runs()).toEqual(["First."]);
    await end(fence);
    await send("Yes.", WhenBusy.REFUSE);
    expect(await runs()).toEqual(["First.", "Yes."]);
  });
});

describe("interrupt", () => {
  it("cancels the run under way and those that wait, and follows", async () => {
    const second = idOf(await send("Second."));
    await begin();
    const third = idOf(await send("Third.", WhenBusy.INTERRUPT));
    const reason = `Interrupted by ${third}.`;
    expect(server.asked.slice(-3)).toEqual([
      `cancel ${first} ${reason}`,
      `cancel ${second} ${reason}`,
      `start ${third}`,
    ]);
  });
});

describe("steer", () => {
  it("says it to the run under way, which is answered, and makes none", async () => {
    await begin();
    const id = createId("AgentExecution");
    expect(idOf(await send("Also this.", WhenBusy.STEER, { id }))).toBe(first);
    expect(idOf(await send("Also this.", WhenBusy.STEER, { id }))).toBe(first);
    expect(await runs()).toEqual(["First."]);
    expect((await server.store.queue.inbox(first, { seen: 0 })).map((item) => item.id)).toEqual([id]);
  });

  it("is an ordinary run when nothing is under way", async () => {
    await end(await begin());
    const steered = await send("Go on.", WhenBusy.STEER);
    expect(idOf(steered)).not.toBe(first);
    expect((await server.lease()).id).toBe(idOf(steered));
  });

  it("answers the run that heard it, also when it is sent again after its end", async () => {
    const fence = await begin();
    const id = createId("AgentExecution");
    await send("Also this.", WhenBusy.STEER, { id });
    await tell(first, fence, ...said(`${first}/${id}`, "Also this."));
    await end(fence);
    expect(idOf(await send("Also this.", WhenBusy.STEER, { id }))).toBe(first);
    expect(await runs()).toEqual(["First."]);
  });

  it("becomes a run of its own when its run ended without hearing it", async () => {
    const fence = await begin();
    const id = createId("AgentExecution");
    await send("Too late?", WhenBusy.STEER, { id });
    await end(fence);
    expect(await runs()).toEqual(["First.", "Too late?"]);
    expect((await server.lease()).id).toBe(id);
    expect(idOf(await send("Too late?", WhenBusy.STEER, { id }))).toBe(id);
  });

  it("becomes one run when it comes between the last word of its run and the end of its task, whoever looks first", async () => {
    const fence = await begin();
    await tell(first, fence, ...moved(EXECUTION_COMPLETED));
    const id = createId("AgentExecution");
    expect(idOf(await send("Now.", WhenBusy.STEER, { id }))).toBe(id);
    await followUnheard(first, {
      ...server,
      taskQueue: "agent_execution_runner",
      logger: silentLogger,
      clock: Date.now,
    });
    expect(await runs()).toEqual(["First.", "Now."]);
  });

  it("goes with a run that is cancelled", async () => {
    const fence = await begin();
    await send("Dropped.", WhenBusy.STEER);
    await end(fence, EXECUTION_CANCELLED);
    expect(await runs()).toEqual(["First."]);
  });

  it("says what is wrong with the session", async () => {
    const missing = createId("Session");
    const run = given.execution({ sessionId: missing, message: "Hello?", whenBusy: WhenBusy.STEER });
    await expect(server.executions.create(run)).rejects.toMatchObject({ code: Code.NotFound });
  });
});
