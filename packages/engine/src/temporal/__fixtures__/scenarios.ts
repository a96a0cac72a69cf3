import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { Context, heartbeat } from "@temporalio/activity";
import { WorkflowFailedError, type WorkflowHandle, type WorkflowHandleWithFirstExecutionRunId } from "@temporalio/client";
import { ApplicationFailure } from "@temporalio/common";
import {
  type AgentExecution,
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import { type InboxItem, InboxItemSchema } from "@stigmer/protos/runner/v1";
import { until } from "../../conformance/until.ts";
import { ActivityStop } from "../../errors.ts";
import { activityFailure, FAILURE_TYPES, refusedFailure } from "../failures.ts";
import {
  type AttemptContext,
  type InvokeOptions,
  type KnownRun,
  type RunState,
  SIGNALS,
  STATE_QUERY,
  UPDATES,
} from "../workflow-contract.ts";
import type { RunnerActivities, WorkflowWorld } from "./workflow-world.ts";

/** A way that an execution can go. Each is run against a real server by a test, and recorded to be replayed by another. */
export interface Scenario {
  readonly name: string;
  /** Goes through it and checks what comes of it. Answers the workflow to record. */
  run(world: WorkflowWorld): Promise<WorkflowHandleWithFirstExecutionRunId>;
}

/** Stands in what a runner knows and must keep to itself: no history may hold it. */
export const PLANTED_SECRET = "sk-planted-3f9c27";

type Run = (execution: AgentExecution, threadId: string, context: AttemptContext) => Promise<AgentExecutionStatus>;

const { EXECUTION_COMPLETED, EXECUTION_FAILED, EXECUTION_CANCELLED } = ExecutionPhase;
const QUICK: InvokeOptions = { heartbeatTimeoutMs: 1_000, maxAttempts: 3, retryDelayMs: 20 };

export const SCENARIOS: readonly Scenario[] = [
  {
    name: "completed",
    run: async (world) => {
      const calls: unknown[] = [];
      const handle = await begin(world, "aex-completed", {
        EnsureThread: async (sessionId: string, agentId: string) => {
          calls.push([sessionId, agentId]);
          return "thread-1";
        },
        ExecuteGraphton: async (execution: AgentExecution, threadId: string, { attempt, inbox }: AttemptContext) => {
          calls.push([execution.metadata?.id, execution.spec?.message, threadId, attempt, inbox]);
          return create(AgentExecutionStatusSchema, {
            phase: EXECUTION_COMPLETED,
            revision: 7,
            messages: [{ content: "There are twelve." }],
          });
        },
      });
      const end = await endOf(handle);
      assert.deepEqual(calls, [
        ["ses-of-aex-completed", "agt-1"],
        ["aex-completed", "Count the files.", "thread-1", 1, []],
      ]);
      assert.deepEqual([end.phase, end.revision, end.messages], [EXECUTION_COMPLETED, 7, []]);
      return handle;
    },
  },
  {
    name: "thread-known",
    run: async (world) => {
      const calls: unknown[] = [];
      const activities: RunnerActivities = {
        EnsureThread: async () => {
          calls.push("asked for the thread");
          return "thread-1";
        },
        ExecuteGraphton: async (_execution: AgentExecution, threadId: string, { attempt }: AttemptContext) => {
          calls.push([threadId, attempt]);
          if (attempt === 1) throw new Error("the disk was full");
          return completed();
        },
      };
      const handle = await begin(world, "aex-thread-known", activities, { threadId: "thread-of-the-starter" });
      assert.equal((await endOf(handle)).phase, EXECUTION_COMPLETED);
      assert.deepEqual(calls, [
        ["thread-of-the-starter", 1],
        ["thread-of-the-starter", 2],
      ]);
      return handle;
    },
  },
  {
    name: "lost-runner",
    run: async (world) => {
      const attempts: number[] = [];
      const handle = await begin(world, "aex-lost-runner", {
        ExecuteGraphton: async (_execution: AgentExecution, _threadId: string, { attempt }: AttemptContext) => {
          attempts.push(attempt);
          // Says nothing more, as a process that was killed.
          if (attempt === 1) await new Promise(() => {});
          return completed();
        },
      });
      assert.equal((await endOf(handle)).phase, EXECUTION_COMPLETED);
      assert.deepEqual(attempts, [1, 2]);
      return handle;
    },
  },
  {
    name: "paused-and-resumed",
    run: async (world) => {
      const attempts: number[] = [];
      const asked = Promise.withResolvers<void>();
      const handle = await begin(
        world,
        "aex-paused",
        running(async (_execution, _threadId, { attempt }) => {
          attempts.push(attempt);
          if (attempts.length > 1) return completed();
          await asked.promise;
          throw activityFailure(new ActivityStop("paused", "at rest"), { pauseAsked: true });
        }),
      );
      await until(() => attempts.length === 1, "the first attempt");
      assert.equal(await handle.executeUpdate(UPDATES.pause, { args: ["lunch"] }), "running");
      asked.resolve();
      const { pause } = await inState(handle, "paused");
      assert.deepEqual(pause, { reason: "lunch", itself: false });
      await handle.signal(SIGNALS.pause, "a second reason");
      assert.deepEqual((await handle.query(STATE_QUERY)).pause?.reason, "lunch");
      await handle.signal(SIGNALS.resume);
      assert.equal((await endOf(handle)).phase, EXECUTION_COMPLETED);
      assert.deepEqual(attempts, [1, 1]);
      return handle;
    },
  },
  {
    name: "paused-itself",
    run: async (world) => {
      let attempts = 0;
      const handle = await begin(
        world,
        "aex-paused-itself",
        running(async () => {
          attempts += 1;
          if (attempts > 1) return completed();
          throw activityFailure(new ActivityStop("paused", "Did the mail go out?"), { pauseAsked: false });
        }),
      );
      const { pause } = await inState(handle, "paused");
      assert.deepEqual(pause, { reason: "Did the mail go out?", itself: true });
      assert.equal(await handle.executeUpdate(UPDATES.resume), "waiting");
      assert.equal((await endOf(handle)).phase, EXECUTION_COMPLETED);
      assert.equal(attempts, 2);
      return handle;
    },
  },
  {
    name: "cancelled",
    run: async (world) => {
      const began = Promise.withResolvers<void>();
      const handle = await begin(world, "aex-cancelled", running(untilCancelled(began)));
      await began.promise;
      await handle.signal(SIGNALS.cancel, "too slow");
      await handle.signal(SIGNALS.cancel, "a second reason").catch(() => {});
      const end = await endOf(handle);
      // What the runner said when it had stopped in order, not what was asked of it.
      assert.deepEqual([end.phase, end.error], [EXECUTION_CANCELLED, "stopped in order"]);
      return handle;
    },
  },
  {
    name: "cancelled-while-paused",
    run: async (world) => {
      const handle = await begin(
        world,
        "aex-cancelled-while-paused",
        running(async () => {
          throw activityFailure(new ActivityStop("paused", "Look at this."), { pauseAsked: false });
        }),
      );
      await inState(handle, "paused");
      assert.equal(await handle.executeUpdate(UPDATES.cancel, { args: ["never mind"] }), "waiting");
      const end = await endOf(handle);
      assert.deepEqual([end.phase, end.error], [EXECUTION_CANCELLED, "never mind"]);
      assert.match(end.completedAt, /^\d{4}-\d\d-\d\dT/);
      return handle;
    },
  },
  {
    name: "cancelled-by-temporal",
    run: async (world) => {
      const began = Promise.withResolvers<void>();
      const handle = await begin(world, "aex-cancelled-by-temporal", running(untilCancelled(began)));
      await began.promise;
      await handle.cancel();
      assert.deepEqual((await endOf(handle)).phase, EXECUTION_CANCELLED);
      return handle;
    },
  },
  {
    name: "cancelled-runner-lost",
    run: async (world) => {
      const began = Promise.withResolvers<void>();
      const handle = await begin(
        world,
        "aex-cancelled-runner-lost",
        running(async () => {
          began.resolve();
          return new Promise(() => {});
        }),
      );
      await began.promise;
      await handle.signal(SIGNALS.cancel, "too slow");
      const end = await endOf(handle);
      assert.deepEqual([end.phase, end.error], [EXECUTION_CANCELLED, "too slow"]);
      return handle;
    },
  },
  {
    name: "messages",
    run: async (world) => {
      const heard: string[][] = [];
      const sent = Promise.withResolvers<void>();
      const handle = await begin(
        world,
        "aex-messages",
        running(async (_execution, _threadId, { attempt, inbox }) => {
          heard.push(inbox.map(({ id }) => id));
          if (attempt > 1) return completed();
          await sent.promise;
          throw new Error("the disk was full");
        }),
      );
      await until(() => heard.length === 1, "the first attempt");
      assert.equal(await handle.executeUpdate(UPDATES.message, { args: [message("m-1", "Leave out tests.")] }), "running");
      await handle.signal(SIGNALS.message, message("m-2", "And fixtures."));
      await handle.signal(SIGNALS.message, message("m-1", "The same id again."));
      await handle.signal(SIGNALS.resolveApproval, approval("a-1", "call-1"));
      // As a command line sends it, and what nobody can read: neither may stop the run.
      await handle.signal("message", { id: "m-3", message: { text: "In plain JSON." } });
      await handle.signal("message", "no item at all");
      await assert.rejects(handle.executeUpdate(UPDATES.message, { args: [message("", "Without an id.")] }));
      await assert.rejects(handle.executeUpdate(UPDATES.message, { args: [approval("a-2", "call-1")] }));
      await assert.rejects(handle.executeUpdate(UPDATES.message, { args: [message("m-4", "x".repeat(300_000))] }));
      assert.equal((await handle.query(STATE_QUERY)).inboxItems, 4);
      sent.resolve();
      assert.equal((await endOf(handle)).phase, EXECUTION_COMPLETED);
      assert.deepEqual(heard, [[], ["m-1", "m-2", "a-1", "m-3"]]);
      return handle;
    },
  },
  {
    name: "given-up",
    run: async (world) => {
      const attempts: number[] = [];
      const handle = await begin(
        world,
        "aex-given-up",
        running(async (_execution, _threadId, { attempt }) => {
          attempts.push(attempt);
          const cause = new Error(`The provider refused the key ${PLANTED_SECRET}.`);
          throw activityFailure(new Error("the disk was full", { cause }), { pauseAsked: false });
        }),
      );
      const { cause } = await failureOf(handle);
      assert.ok(cause instanceof ApplicationFailure);
      assert.equal(cause.type, FAILURE_TYPES.exhausted);
      const expected = "The execution aex-given-up was given up after 3 attempts. The last one: the disk was full";
      assert.equal(cause.message, expected);
      assert.deepEqual(attempts, [1, 2, 3]);
      return handle;
    },
  },
  {
    name: "refused",
    run: async (world) => {
      let attempts = 0;
      const handle = await begin(
        world,
        "aex-refused",
        running(async () => {
          attempts += 1;
          throw refusedFailure("The server has no such execution.");
        }),
      );
      const end = await endOf(handle);
      assert.deepEqual([end.phase, end.error, attempts], [EXECUTION_FAILED, "The server has no such execution.", 1]);
      return handle;
    },
  },
  {
    name: "drained",
    run: async (world) => {
      const attempts: number[] = [];
      const handle = await begin(
        world,
        "aex-drained",
        running(async (_execution, _threadId, { attempt }) => {
          attempts.push(attempt);
          // More often than a run may fail.
          if (attempts.length > 4) return completed();
          throw activityFailure(new ActivityStop("draining", "shutting down"), { pauseAsked: false });
        }),
      );
      assert.equal((await endOf(handle)).phase, EXECUTION_COMPLETED);
      assert.deepEqual(attempts, [1, 1, 1, 1, 1]);
      return handle;
    },
  },
];

/** Needs a server that suggests a new history after few events. */
export const NEW_HISTORY_SCENARIO: Scenario = {
  name: "new-history",
  run: async (world) => {
    const seen: unknown[] = [];
    const sent = Promise.withResolvers<void>();
    const threads: string[] = [];
    const handle = await begin(world, "aex-new-history", {
      EnsureThread: async () => {
        threads.push("thread-1");
        return "thread-1";
      },
      ExecuteGraphton: async (_execution: AgentExecution, threadId: string, { attempt, inbox }: AttemptContext) => {
        seen.push([attempt, threadId, inbox.map(({ id }) => id)]);
        if (attempt === 1) {
          await sent.promise;
          throw new Error("the disk was full");
        }
        return completed();
      },
    });
    await until(() => seen.length === 1, "the first attempt");
    await handle.signal(SIGNALS.message, message("m-1", "Leave out tests."));
    sent.resolve();
    assert.equal((await endOf(handle)).phase, EXECUTION_COMPLETED);
    assert.deepEqual(seen, [
      [1, "thread-1", []],
      [2, "thread-1", ["m-1"]],
    ]);
    assert.deepEqual(threads, ["thread-1"]);
    const last = world.client.workflow.getHandle("aex-new-history");
    const { runId } = await last.describe();
    assert.notEqual(runId, handle.firstExecutionRunId, "It went on in a new history.");
    return handle;
  },
};

async function begin(
  world: WorkflowWorld,
  executionId: string,
  activities: RunnerActivities,
  ...known: readonly KnownRun[]
): ReturnType<WorkflowWorld["start"]> {
  const runnerTaskQueue = world.newQueue();
  await world.startRunner(runnerTaskQueue, { EnsureThread: async () => "thread-1", ...activities });
  return world.start(executionId, { ...QUICK, runnerTaskQueue }, ...known);
}

/** Activities of a runner that shows signs of life in time. */
function running(run: Run): RunnerActivities {
  return {
    ExecuteGraphton: async (execution: AgentExecution, threadId: string, context: AttemptContext) => {
      const beat = setInterval(() => heartbeat(), 100);
      // An attempt that never ends is one whose runner was killed.
      const silent = setTimeout(() => clearInterval(beat), 3_000);
      try {
        return await run(execution, threadId, context);
      } finally {
        clearInterval(beat);
        clearTimeout(silent);
      }
    },
  };
}

function untilCancelled(began: PromiseWithResolvers<void>): Run {
  return async () => {
    began.resolve();
    await Context.current().cancelled.catch(() => {});
    return create(AgentExecutionStatusSchema, { phase: EXECUTION_CANCELLED, error: "stopped in order" });
  };
}

export async function endOf(handle: WorkflowHandle): Promise<AgentExecutionStatus> {
  return (await handle.result()) as AgentExecutionStatus;
}

async function failureOf(handle: WorkflowHandle): Promise<WorkflowFailedError> {
  try {
    await handle.result();
  } catch (error) {
    assert.ok(error instanceof WorkflowFailedError);
    return error;
  }
  assert.fail("The workflow did not fail.");
}

export async function inState(handle: WorkflowHandle, standing: RunState["standing"]): Promise<RunState> {
  let state: RunState | undefined;
  await until(async () => {
    state = await handle.query(STATE_QUERY);
    return state.standing === standing;
  }, `the standing "${standing}"`);
  assert.ok(state);
  return state;
}

function message(id: string, text: string): InboxItem {
  return create(InboxItemSchema, { id, item: { case: "message", value: { text } } });
}

function approval(id: string, toolCallId: string): InboxItem {
  return create(InboxItemSchema, { id, item: { case: "approval", value: { toolCallId, decision: 1 } } });
}

export function completed(): AgentExecutionStatus {
  return create(AgentExecutionStatusSchema, { phase: EXECUTION_COMPLETED });
}
