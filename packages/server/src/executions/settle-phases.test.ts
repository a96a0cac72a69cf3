import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import type { QueueStore } from "@stigmer/engine/embedded";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { inSequence } from "../__fixtures__/in-sequence.ts";
import { silentLogger } from "../logger.ts";
import { deltaOf, moved, type OpenRuns, openRuns, RUN } from "./__fixtures__/open-runs.ts";
import { settlePhases } from "./settle-phases.ts";

const { EXECUTION_PENDING, EXECUTION_IN_PROGRESS, EXECUTION_PAUSED } = ExecutionPhase;

let open: OpenRuns;
beforeEach(async () => {
  open = openRuns();
  await open.addRun();
});
afterEach(() => open.dispose());

/** As an engine has it. */
const queue = (): QueueStore => settlePhases({ queue: open.store.queue, runs: open.runs, logger: silentLogger });
const phase = async (): Promise<ExecutionPhase | undefined> => (await open.runs.read(RUN))?.phase;
const release = (fence: number, pauseReason?: string): Promise<boolean> =>
  queue().release({ taskId: RUN, fence }, { runnerId: "r", counted: false, availableAt: 0, pauseReason });

let patch: ReturnType<typeof inSequence<number>>;
beforeEach(() => {
  patch = inSequence((sent) => open.runs.patch(sent));
});
function tell(fence: number, next: ExecutionPhase, restsByItself = false): Promise<number> {
  const delta = deltaOf(...moved(next, { startedAt: "t0", restsByItself }));
  return patch({ executionId: RUN, fence, delta });
}

describe("the phase of a run", () => {
  it("is paused while it rests, and then what it was: pending before it began, else in progress", async () => {
    await queue().pause(RUN, "lunch");
    expect(await phase()).toBe(EXECUTION_PAUSED);
    await queue().pause(RUN, "again");
    expect((await open.runs.read(RUN))?.revision).toBe(2);
    await queue().resume(RUN);
    expect(await phase()).toBe(EXECUTION_PENDING);
    const fence = await open.lease();
    await tell(fence, EXECUTION_IN_PROGRESS);
    await queue().pause(RUN, "tea");
    expect(await phase()).toBe(EXECUTION_IN_PROGRESS);
    await release(fence);
    expect(await phase()).toBe(EXECUTION_PAUSED);
    await queue().resume(RUN);
    expect(await phase()).toBe(EXECUTION_IN_PROGRESS);
    await queue().resume(RUN);
    expect((await open.runs.read(RUN))?.revision).toBe(6);
  });

  it("is paused when its runner dies before it came to rest", async () => {
    const fence = await open.lease();
    await tell(fence, EXECUTION_IN_PROGRESS);
    await queue().pause(RUN, "");
    await queue().expire({ now: 9, failure: "lost" });
    expect(await phase()).toBe(EXECUTION_PAUSED);
  });

  it("is paused when its runner dies having stored that it rests by itself, before or after it was lost", async () => {
    let fence = await open.lease();
    await tell(fence, EXECUTION_PAUSED, true);
    await queue().expire({ now: 9, failure: "lost" });
    expect(await phase()).toBe(EXECUTION_PAUSED);
    await queue().resume(RUN);
    expect(await phase()).toBe(EXECUTION_IN_PROGRESS);
    fence = await open.lease();
    await queue().expire({ now: 9, failure: "lost" });
    await tell(fence, EXECUTION_PAUSED, true);
    expect(await phase()).toBe(EXECUTION_PAUSED);
    await expect(open.lease()).rejects.toThrow("Nothing waits");
    await queue().resume(RUN);
    expect(await phase()).toBe(EXECUTION_IN_PROGRESS);
  });

  it("is not paused when it was resumed before its runner let go of it", async () => {
    const fence = await open.lease();
    await queue().pause(RUN, "");
    await tell(fence, EXECUTION_PAUSED);
    await queue().resume(RUN);
    expect(await phase()).toBe(EXECUTION_PAUSED);
    await release(fence);
    expect(await phase()).toBe(EXECUTION_IN_PROGRESS);
  });

  it("is not made of the words of a runner that lost the run", async () => {
    const fence = await open.lease();
    await tell(fence, EXECUTION_IN_PROGRESS);
    await queue().expire({ now: 9, failure: "lost" });
    await tell(fence, EXECUTION_PAUSED);
    expect(await phase()).toBe(EXECUTION_IN_PROGRESS);
    await queue().pause(RUN, "");
    await tell(fence, EXECUTION_IN_PROGRESS);
    expect(await phase()).toBe(EXECUTION_PAUSED);
  });

  it("is not made of where the run was when somebody looked", async () => {
    const { executions } = open.store;
    const writeState = executions.writeState.bind(executions);
    vi.spyOn(executions, "writeState").mockImplementationOnce(async (id) => {
      const state = await writeState(id);
      await queue().resume(RUN);
      return state;
    });
    await queue().pause(RUN, "");
    expect(await phase()).toBe(EXECUTION_PENDING);
  });

  it("is left to the end that a cancelled run waits for, and stays what the end made it", async () => {
    await open.store.queue.requestCancel(RUN, "enough");
    await queue().pause(RUN, "");
    expect(await phase()).toBe(EXECUTION_PENDING);
    await open.runs.fail(RUN, "over");
    await queue().resume(RUN);
    expect(await phase()).toBe(ExecutionPhase.EXECUTION_FAILED);
  });

  it("is made good at the next start when the server died in between", async () => {
    await open.store.queue.pause(RUN, "");
    await open.addRun("aex-2");
    await queue().pause("aex-2", "");
    await open.store.queue.resume("aex-2");
    await open.restart();
    await open.runs.recover();
    expect(await phase()).toBe(EXECUTION_PAUSED);
    expect((await open.runs.read("aex-2"))?.phase).toBe(EXECUTION_PENDING);
  });

  it("does not hold up the queue when it can't be stored", async () => {
    const error = vi.fn<(fields: object, message: string) => void>();
    const runs = { settle: () => Promise.reject(new Error("disk full")) };
    const failing = settlePhases({ queue: open.store.queue, runs, logger: { ...silentLogger, error } });
    expect(await failing.pause(RUN, "")).toBe("waiting");
    expect(error).toHaveBeenCalledTimes(1);
  });
});

/** One thing that a person, a runner or the engine does. */
const STEPS = [
  "pause",
  "resume",
  "take",
  "begin",
  "rest",
  "rest by itself",
  "hand back",
  "die",
  "ask",
  "late",
  "ask late",
  "restart",
] as const;
type Step = (typeof STEPS)[number];

it("is true whenever a run waits, whatever happened at once", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.constantFrom(...STEPS), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 }),
      async (groups) => {
        await open.dispose();
        open = openRuns();
        await open.addRun();
        patch = inSequence((sent) => open.runs.patch(sent));
        const run = createRun();
        for (const group of groups) {
          const steps = group.filter((step) => step !== "restart");
          await Promise.all(steps.map((step) => run.take(step)));
          if (steps.length < group.length) await open.restart();
          await expectTrue();
        }
        await open.runs.fail(RUN, "over");
        await Promise.all(groups.flat().map((step) => run.take(step)));
        expect(await phase()).toBe(ExecutionPhase.EXECUTION_FAILED);
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);

async function expectTrue(): Promise<void> {
  const state = await open.store.executions.writeState(RUN);
  const status = await open.runs.read(RUN);
  const idle = status?.startedAt === "" ? EXECUTION_PENDING : EXECUTION_IN_PROGRESS;
  const truth = { resting: EXECUTION_PAUSED, waiting: idle, held: status?.phase, ending: undefined, over: undefined };
  expect(status?.phase).toBe(truth[state?.taskPlace ?? "over"]);
  expect(state?.phase).toBe(status?.phase);
}

/** Steps that do not fit are left out: nobody holds the run, or it has ended. */
function createRun(): { take(step: Step): Promise<void> } {
  let fence = 0;
  let held = false;
  const told = async (next: ExecutionPhase, restsByItself = false): Promise<void> => {
    await tell(fence, next, restsByItself).catch(() => {});
  };
  return {
    take: async (step) => {
      switch (step) {
        case "pause":
          await queue().pause(RUN, "");
          return;
        case "resume":
          await queue().resume(RUN);
          return;
        case "take": {
          const task = await queue().lease({ queue: "q", runnerId: "r", now: 1, leaseMs: 1, maxAttempts: 999 });
          if (!task) return;
          fence = task.fence;
          held = true;
          return;
        }
        case "begin":
          if (held) await told(EXECUTION_IN_PROGRESS);
          return;
        case "rest":
        case "rest by itself":
          if (!held) return;
          await told(EXECUTION_PAUSED);
          held = !(await release(fence, step === "rest" ? undefined : "look at it"));
          return;
        case "hand back":
          if (held) held = !(await release(fence));
          return;
        case "die":
          await queue().expire({ now: 9, failure: "lost" });
          held = false;
          return;
        case "ask":
          if (held) await told(EXECUTION_PAUSED, true);
          return;
        case "late":
        case "ask late":
          await told(EXECUTION_PAUSED, step === "ask late");
          return;
        case "restart":
      }
    },
  };
}
