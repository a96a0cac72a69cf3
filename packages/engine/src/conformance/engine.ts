import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import {
  type AgentExecution,
  type AgentExecutionStatus,
  AgentExecutionStatusSchema,
  ExecutionPhase,
} from "@stigmer/protos/agentexecution/v1";
import type { Activities, ActivityContext } from "../contract.ts";
import type { Engine } from "../engine.ts";
import { ActivityStop } from "../errors.ts";
import type { TestFunctions } from "./test-functions.ts";
import { until } from "./until.ts";

/** An engine under test, with a server's part and runners to order. Attempts are to be given up after 3. */
export interface EngineFixture {
  readonly engine: Engine;
  /** Stores an execution as the create transaction does, without starting it. */
  submit(execution: { readonly id: string; readonly sessionId: string }): Promise<void>;
  /** Resolves when the runner takes work. */
  startRunner(options: { readonly activities: Activities; readonly maxConcurrency?: number }): Promise<RunnerUnderTest>;
  /** The ends that the engine reported so far. */
  readonly ends: readonly ReportedEnd[];
  dispose(): Promise<void>;
}

export interface RunnerUnderTest {
  /** Cuts it off without a word, as a killed process is. */
  crash(): Promise<void>;
  drain(options: { readonly deadlineMs: number }): Promise<void>;
}

export interface ReportedEnd {
  readonly executionId: string;
  readonly phase: ExecutionPhase;
  readonly error: string;
}

export interface EngineConformanceOptions extends TestFunctions {
  readonly name: string;
  readonly create: () => Promise<EngineFixture>;
}

/** Registers what every engine must do, whatever carries its tasks. */
export function engineConformance(options: EngineConformanceOptions): void {
  const { describe, it } = options;
  const check = (name: string, body: (fixture: EngineFixture) => Promise<void>): unknown =>
    it(name, async () => {
      const fixture = await options.create();
      try {
        await body(fixture);
      } finally {
        await fixture.dispose();
      }
    });
  const submitAll = async ({ engine, submit }: EngineFixture, executions: Record<string, string>): Promise<void> => {
    for (const [id, sessionId] of Object.entries(executions)) {
      await submit({ id, sessionId });
      await engine.start(id);
    }
  };
  const ended = (fixture: EngineFixture, count: number): Promise<void> =>
    until(() => fixture.ends.length >= count, `${String(count)} ends`);

  describe(`engine: ${options.name}`, () => {
    check("runs an execution on its session's thread, and reports its end", async (fixture) => {
      const calls: string[] = [];
      await fixture.startRunner({
        activities: {
          ...activitiesOf(async (execution, _context, threadId) => {
            calls.push(`run ${idOf(execution)} on ${threadId}`);
            return completed();
          }),
          ensureThread: async (sessionId) => {
            calls.push(`thread of ${sessionId}`);
            return `thread-${sessionId}`;
          },
        },
      });
      await submitAll(fixture, { "aex-1": "ses-1" });
      await ended(fixture, 1);
      assert.deepEqual(calls, ["thread of ses-1", "run aex-1 on thread-ses-1"]);
      assert.deepEqual(fixture.ends, [{ executionId: "aex-1", phase: ExecutionPhase.EXECUTION_COMPLETED, error: "" }]);
    });

    check("runs once what is started twice: while it waits, runs and is over", async (fixture) => {
      const gate = Promise.withResolvers<void>();
      const runs: string[] = [];
      await submitAll(fixture, { "aex-1": "ses-1" });
      await fixture.engine.start("aex-1");
      await fixture.startRunner({
        activities: activitiesOf(async (execution) => {
          runs.push(idOf(execution));
          await gate.promise;
          return completed();
        }),
      });
      await until(() => runs.length > 0, "the run");
      await fixture.engine.start("aex-1");
      gate.resolve();
      await ended(fixture, 1);
      await fixture.engine.start("aex-1");
      await submitAll(fixture, { "aex-2": "ses-2" });
      await ended(fixture, 2);
      assert.deepEqual(runs, ["aex-1", "aex-2"]);
    });

    check("reports the failed end that a run itself came to", async (fixture) => {
      await fixture.startRunner({
        activities: activitiesOf(async () => status(ExecutionPhase.EXECUTION_FAILED, "no such model")),
      });
      await submitAll(fixture, { "aex-1": "ses-1" });
      await ended(fixture, 1);
      assert.deepEqual(fixture.ends, [
        { executionId: "aex-1", phase: ExecutionPhase.EXECUTION_FAILED, error: "no such model" },
      ]);
    });

    check(
      "runs the executions of a session in order and one at a time, other sessions beside them",
      async (fixture) => {
        const gate = Promise.withResolvers<void>();
        const runs: string[] = [];
        await submitAll(fixture, { "aex-1": "ses-1", "aex-2": "ses-1", "aex-3": "ses-2" });
        await fixture.startRunner({
          maxConcurrency: 3,
          activities: activitiesOf(async (execution) => {
            runs.push(idOf(execution));
            if (idOf(execution) === "aex-1") await gate.promise;
            return completed();
          }),
        });
        await ended(fixture, 1);
        assert.deepEqual(runs, ["aex-1", "aex-3"]);
        gate.resolve();
        await ended(fixture, 3);
        assert.deepEqual(runs, ["aex-1", "aex-3", "aex-2"]);
      },
    );

    check("gives a runner no more than it asked for", async (fixture) => {
      let now = 0;
      let most = 0;
      await fixture.startRunner({
        maxConcurrency: 3,
        activities: activitiesOf(async () => {
          most = Math.max(most, ++now);
          await new Promise((resolve) => setTimeout(resolve, 2));
          now -= 1;
          return completed();
        }),
      });
      await submitAll(
        fixture,
        Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`aex-${String(index)}`, `ses-${String(index)}`])),
      );
      await ended(fixture, 20);
      assert.equal(most, 3);
    });

    check("cancels what waits, without a runner", async (fixture) => {
      const runs: string[] = [];
      await submitAll(fixture, { "aex-1": "ses-1", "aex-2": "ses-1" });
      await fixture.engine.cancel("aex-1", "changed my mind");
      await ended(fixture, 1);
      assert.deepEqual(fixture.ends, [
        { executionId: "aex-1", phase: ExecutionPhase.EXECUTION_CANCELLED, error: "changed my mind" },
      ]);
      await fixture.startRunner({
        activities: activitiesOf(async (execution) => {
          runs.push(idOf(execution));
          return completed();
        }),
      });
      await ended(fixture, 2);
      assert.deepEqual(runs, ["aex-2"]);
    });

    check("cancels what runs, through its runner", async (fixture) => {
      let stop: unknown;
      let running = false;
      await fixture.startRunner({
        activities: activitiesOf(async (_execution, { signal }) => {
          running = true;
          stop = await aborted(signal);
          return status(ExecutionPhase.EXECUTION_CANCELLED, "stopped in order");
        }),
      });
      await submitAll(fixture, { "aex-1": "ses-1" });
      await until(() => running, "the run");
      await fixture.engine.cancel("aex-1", "too slow");
      await ended(fixture, 1);
      assert.ok(ActivityStop.is(stop));
      assert.deepEqual([stop.kind, stop.message], ["cancelled", "too slow"]);
      assert.deepEqual(fixture.ends, [
        { executionId: "aex-1", phase: ExecutionPhase.EXECUTION_CANCELLED, error: "stopped in order" },
      ]);
    });

    check("takes a cancel of what is over or unknown, without effect", async (fixture) => {
      await fixture.startRunner({ activities: activitiesOf(async () => completed()) });
      await submitAll(fixture, { "aex-1": "ses-1" });
      await ended(fixture, 1);
      await fixture.engine.cancel("aex-1", "late");
      await fixture.engine.cancel("aex-unknown", "never there");
      await submitAll(fixture, { "aex-2": "ses-1" });
      await ended(fixture, 2);
      assert.deepEqual(
        fixture.ends.map(({ executionId, phase }) => [executionId, phase]),
        [
          ["aex-1", ExecutionPhase.EXECUTION_COMPLETED],
          ["aex-2", ExecutionPhase.EXECUTION_COMPLETED],
        ],
      );
    });

    check("gives the run of a lost runner to the next, under a higher fence", async (fixture) => {
      const first = Promise.withResolvers<ActivityContext>();
      const second = Promise.withResolvers<ActivityContext>();
      const lost = await fixture.startRunner({
        activities: activitiesOf(async (_execution, context) => {
          first.resolve(context);
          throw await aborted(context.signal);
        }),
      });
      await submitAll(fixture, { "aex-1": "ses-1" });
      const before = await first.promise;
      await lost.crash();
      await fixture.startRunner({
        activities: activitiesOf(async (_execution, context) => {
          second.resolve(context);
          return completed();
        }),
      });
      const after = await second.promise;
      await ended(fixture, 1);
      assert.ok(after.fence > before.fence, `${String(after.fence)} > ${String(before.fence)}`);
      assert.deepEqual([before.attempt, after.attempt], [1, 2]);
      assert.equal(fixture.ends[0]?.phase, ExecutionPhase.EXECUTION_COMPLETED);
    });

    check("tries again when the infrastructure failed", async (fixture) => {
      const attempts: number[] = [];
      await fixture.startRunner({
        activities: activitiesOf(async (_execution, { attempt }) => {
          attempts.push(attempt);
          if (attempt === 1) throw new Error("disk full");
          return completed();
        }),
      });
      await submitAll(fixture, { "aex-1": "ses-1" });
      await ended(fixture, 1);
      assert.deepEqual(attempts, [1, 2]);
      assert.equal(fixture.ends[0]?.phase, ExecutionPhase.EXECUTION_COMPLETED);
    });

    check("gives a run up that fails every time, says why, and goes on", async (fixture) => {
      let attempts = 0;
      await fixture.startRunner({
        activities: activitiesOf(async (execution) => {
          if (idOf(execution) === "aex-2") return completed();
          attempts += 1;
          throw new Error("disk full");
        }),
      });
      await submitAll(fixture, { "aex-1": "ses-1", "aex-2": "ses-1" });
      await ended(fixture, 2);
      assert.equal(attempts, 3);
      assert.equal(fixture.ends[0]?.phase, ExecutionPhase.EXECUTION_FAILED);
      assert.match(fixture.ends[0]?.error ?? "", /aex-1.*3 attempts.*disk full/);
      assert.equal(fixture.ends[1]?.executionId, "aex-2");
    });

    check("hands a draining runner's work to the next, without counting an attempt", async (fixture) => {
      const first = Promise.withResolvers<ActivityContext>();
      const second = Promise.withResolvers<ActivityContext>();
      const leaving = await fixture.startRunner({
        maxConcurrency: 2,
        activities: activitiesOf(async (execution, context) => {
          if (idOf(execution) === "aex-2") return completed();
          first.resolve(context);
          throw await aborted(context.signal);
        }),
      });
      await submitAll(fixture, { "aex-1": "ses-1" });
      const before = await first.promise;
      await leaving.drain({ deadlineMs: 10 });
      assert.equal((before.signal.reason as ActivityStop).kind, "draining");
      await fixture.startRunner({
        activities: activitiesOf(async (_execution, context) => {
          second.resolve(context);
          return completed();
        }),
      });
      const after = await second.promise;
      await ended(fixture, 1);
      assert.ok(after.fence > before.fence);
      assert.equal(after.attempt, 1);
    });

    check("lets a draining runner end what it works on", async (fixture) => {
      const started = Promise.withResolvers<void>();
      const gate = Promise.withResolvers<void>();
      const leaving = await fixture.startRunner({
        activities: activitiesOf(async () => {
          started.resolve();
          await gate.promise;
          return completed();
        }),
      });
      await submitAll(fixture, { "aex-1": "ses-1" });
      await started.promise;
      const drained = leaving.drain({ deadlineMs: 60_000 });
      gate.resolve();
      await drained;
      assert.deepEqual(
        fixture.ends.map(({ phase }) => phase),
        [ExecutionPhase.EXECUTION_COMPLETED],
      );
    });

    check("runs each of many executions on one of many runners", async (fixture) => {
      const runs: string[] = [];
      const activities = activitiesOf(async (execution) => {
        runs.push(idOf(execution));
        return completed();
      });
      await submitAll(
        fixture,
        Object.fromEntries(
          Array.from({ length: 200 }, (_, index) => [`aex-${String(index)}`, `ses-${String(index % 50)}`]),
        ),
      );
      for (let runner = 0; runner < 4; runner += 1) await fixture.startRunner({ activities, maxConcurrency: 5 });
      await ended(fixture, 200);
      assert.equal(runs.length, 200);
      assert.equal(new Set(runs).size, 200);
      assert.equal(new Set(fixture.ends.map(({ executionId }) => executionId)).size, 200);
    });
  });
}

type Run = (execution: AgentExecution, context: ActivityContext, threadId: string) => Promise<AgentExecutionStatus>;

function activitiesOf(run: Run): Activities {
  return {
    ensureThread: async (sessionId) => `thread-${sessionId}`,
    executeGraphton: (execution, threadId, context) => run(execution, context, threadId),
    cleanupSandbox: async () => {},
  };
}

function idOf(execution: AgentExecution): string {
  return execution.metadata?.id ?? "";
}

function status(phase: ExecutionPhase, error: string): AgentExecutionStatus {
  return create(AgentExecutionStatusSchema, { phase, error });
}

function completed(): AgentExecutionStatus {
  return status(ExecutionPhase.EXECUTION_COMPLETED, "");
}

/** The reason, once there is one. */
function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  });
}
