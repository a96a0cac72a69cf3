import assert from "node:assert/strict";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { ActivityStop } from "../errors.ts";
import { aborted, activitiesOf, type Check, completed, idOf, status } from "./engine-cases.ts";

/** Runs from start to end, in their order, and cancelled ones. */
export function engineRuns(check: Check): void {
  check(
    "runs an execution on its session's thread, or leaves it to the runner, and reports its end",
    async (subject) => {
      const { fixture, submit, ended } = subject;
      const calls: string[] = [];
      await fixture.startRunner({
        activities: {
          ...activitiesOf(async (execution, _context, threadId) => {
            calls.push(`run ${idOf(execution)} on ${threadId ?? "its own"}`);
            return completed();
          }),
          ensureThread: async (sessionId) => {
            calls.push(`thread of ${sessionId}`);
            return `thread-${sessionId}`;
          },
        },
      });
      await submit({ "aex-1": "ses-1" });
      await ended(1);
      const leftToRunner = calls.length === 1;
      assert.deepEqual(
        calls,
        leftToRunner ? ["run aex-1 on its own"] : ["thread of ses-1", "run aex-1 on thread-ses-1"],
      );
      assert.deepEqual(fixture.ends, [{ executionId: "aex-1", phase: ExecutionPhase.EXECUTION_COMPLETED, error: "" }]);
    },
  );

  check("runs once what is started twice: while it waits, runs and is over", async (subject) => {
    const { fixture, submit, ended } = subject;
    const gate = Promise.withResolvers<void>();
    const runs: string[] = [];
    await submit({ "aex-1": "ses-1" });
    await fixture.engine.start("aex-1");
    await fixture.startRunner({
      activities: activitiesOf(async (execution) => {
        runs.push(idOf(execution));
        await gate.promise;
        return completed();
      }),
    });
    await subject.until(() => runs.length > 0, "the run");
    await fixture.engine.start("aex-1");
    gate.resolve();
    await ended(1);
    await fixture.engine.start("aex-1");
    await submit({ "aex-2": "ses-2" });
    await ended(2);
    assert.deepEqual(runs, ["aex-1", "aex-2"]);
  });

  check("reports the failed end that a run itself came to", async ({ fixture, submit, ended }) => {
    await fixture.startRunner({
      activities: activitiesOf(async () => status(ExecutionPhase.EXECUTION_FAILED, "no such model")),
    });
    await submit({ "aex-1": "ses-1" });
    await ended(1);
    assert.deepEqual(fixture.ends, [
      { executionId: "aex-1", phase: ExecutionPhase.EXECUTION_FAILED, error: "no such model" },
    ]);
  });

  check("runs a session's executions in order and one at a time, other sessions beside them", async (subject) => {
    const { fixture, submit, ended } = subject;
    const gate = Promise.withResolvers<void>();
    const runs: string[] = [];
    await submit({ "aex-1": "ses-1", "aex-2": "ses-1", "aex-3": "ses-2" });
    await fixture.startRunner({
      maxConcurrency: 3,
      activities: activitiesOf(async (execution) => {
        runs.push(idOf(execution));
        if (idOf(execution) === "aex-1") await gate.promise;
        return completed();
      }),
    });
    await ended(1);
    await subject.until(() => runs.length === 2, "both sessions");
    // Which session is first is the engine's choice.
    assert.deepEqual(runs.toSorted(), ["aex-1", "aex-3"]);
    gate.resolve();
    await ended(3);
    assert.equal(runs.length, 3);
    assert.equal(runs[2], "aex-2");
  });

  check("gives a runner all that it asked for, and no more", async ({ fixture, submit, ended }) => {
    const full = Promise.withResolvers<void>();
    let now = 0;
    let most = 0;
    await fixture.startRunner({
      maxConcurrency: 3,
      activities: activitiesOf(async () => {
        most = Math.max(most, ++now);
        if (now === 3) full.resolve();
        await full.promise;
        await new Promise((resolve) => setImmediate(resolve));
        now -= 1;
        return completed();
      }),
    });
    await submit(
      Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`aex-${String(index)}`, `ses-${String(index)}`])),
    );
    await ended(20);
    assert.equal(most, 3);
  });

  check("cancels what waits, without a runner", async ({ fixture, submit, ended }) => {
    const runs: string[] = [];
    await submit({ "aex-1": "ses-1", "aex-2": "ses-1" });
    await fixture.engine.cancel("aex-1", "changed my mind");
    await ended(1);
    assert.deepEqual(fixture.ends, [
      { executionId: "aex-1", phase: ExecutionPhase.EXECUTION_CANCELLED, error: "changed my mind" },
    ]);
    await fixture.startRunner({
      activities: activitiesOf(async (execution) => {
        runs.push(idOf(execution));
        return completed();
      }),
    });
    await ended(2);
    assert.deepEqual(runs, ["aex-2"]);
  });

  check("cancels what runs, through its runner", async (subject) => {
    const { fixture, submit, ended } = subject;
    let stop: unknown;
    let running = false;
    await fixture.startRunner({
      activities: activitiesOf(async (_execution, { signal }) => {
        running = true;
        stop = await aborted(signal);
        return status(ExecutionPhase.EXECUTION_CANCELLED, "stopped in order");
      }),
    });
    await submit({ "aex-1": "ses-1" });
    await subject.until(() => running, "the run");
    await fixture.engine.cancel("aex-1", "too slow");
    await ended(1);
    assert.ok(ActivityStop.is(stop));
    assert.deepEqual([stop.kind, stop.message], ["cancelled", "too slow"]);
    assert.deepEqual(fixture.ends, [
      { executionId: "aex-1", phase: ExecutionPhase.EXECUTION_CANCELLED, error: "stopped in order" },
    ]);
  });

  check("takes what is asked of an execution that is over or unknown, without effect", async (subject) => {
    const { fixture, submit, ended } = subject;
    await fixture.startRunner({ activities: activitiesOf(async () => completed()) });
    await submit({ "aex-1": "ses-1" });
    await ended(1);
    for (const id of ["aex-1", "aex-unknown"]) {
      await fixture.engine.cancel(id, "late");
      await subject.until(async () => (await fixture.engine.pause(id, "late")) === "over", "the task to be over");
      assert.equal(await fixture.engine.resume(id), "over");
    }
    await submit({ "aex-2": "ses-1" });
    await ended(2);
    assert.deepEqual(
      fixture.ends.map(({ executionId, phase }) => [executionId, phase]),
      [
        ["aex-1", ExecutionPhase.EXECUTION_COMPLETED],
        ["aex-2", ExecutionPhase.EXECUTION_COMPLETED],
      ],
    );
  });
}
