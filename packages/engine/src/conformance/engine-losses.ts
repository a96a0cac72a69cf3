import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { InboxItemSchema } from "@stigmer/protos/runner/v1";
import type { ActivityContext } from "../contract.ts";
import { ActivityStop } from "../errors.ts";
import { aborted, activitiesOf, type Check, completed, idOf, received } from "./engine-cases.ts";

/** What becomes of runs when a runner, the server, the engine or the infrastructure is lost, for a while or for good. */
export function engineLosses(check: Check): void {
  check(
    "gives the run of a lost runner to the next, under a higher fence",
    async ({ fixture, submit, ended, soon }) => {
      const first = Promise.withResolvers<ActivityContext>();
      const second = Promise.withResolvers<ActivityContext>();
      const lost = await fixture.startRunner({
        activities: activitiesOf(async (_execution, context) => {
          first.resolve(context);
          throw await aborted(context.signal);
        }),
      });
      await submit({ "aex-1": "ses-1" });
      const before = await soon(first.promise, "the run");
      await lost.crash();
      await fixture.startRunner({
        activities: activitiesOf(async (_execution, context) => {
          second.resolve(context);
          return completed();
        }),
      });
      const after = await soon(second.promise, "the next attempt");
      await ended(1);
      assert.ok(after.fence > before.fence, `${String(after.fence)} > ${String(before.fence)}`);
      assert.deepEqual([before.attempt, after.attempt], [1, 2]);
      assert.equal(fixture.ends[0]?.phase, ExecutionPhase.EXECUTION_COMPLETED);
    },
  );

  check("refuses what a runner brings that was believed lost, and tells it so", async (subject) => {
    const { fixture, submit, ended, soon } = subject;
    const first = Promise.withResolvers<ActivityContext>();
    const second = Promise.withResolvers<ActivityContext>();
    const wakes = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const returned = Promise.withResolvers<void>();
    const zombie = await fixture.startRunner({
      activities: activitiesOf(async (execution, context) => {
        if (idOf(execution) !== "aex-1") return completed();
        first.resolve(context);
        await wakes.promise;
        returned.resolve();
        return completed("of the zombie");
      }),
    });
    await submit({ "aex-1": "ses-1" });
    const before = await soon(first.promise, "the run");
    assert.equal(await fixture.fenceOf("aex-1"), before.fence);
    await zombie.cutOff();
    const successor = await fixture.startRunner({
      activities: activitiesOf(async (_execution, context) => {
        second.resolve(context);
        await gate.promise;
        return completed("of the successor");
      }),
    });
    const after = await soon(second.promise, "the next attempt");
    assert.ok(after.fence > before.fence, `${String(after.fence)} > ${String(before.fence)}`);
    assert.equal(await fixture.fenceOf("aex-1"), after.fence);

    await zombie.reconnect();
    const stop = await soon(aborted(before.signal), "the zombie to be told");
    assert.ok(ActivityStop.is(stop));
    assert.equal(stop.kind, "lease-lost");
    wakes.resolve();
    await soon(returned.promise, "the zombie's return");
    assert.equal(after.signal.aborted, false, "the successor is left alone");
    gate.resolve();
    await ended(1);
    // The zombie's runner is an ordinary one again.
    await successor.drain({ deadlineMs: 60_000 });
    await submit({ "aex-2": "ses-1" });
    await ended(2);
    assert.deepEqual(
      fixture.ends.map(({ executionId, error }) => [executionId, error]),
      [
        ["aex-1", "of the successor"],
        ["aex-2", ""],
      ],
    );
  });

  check("tries again when the infrastructure failed, under a higher fence each time", async (subject) => {
    const { fixture, submit, ended } = subject;
    const attempts: number[] = [];
    const fences: number[] = [];
    await fixture.startRunner({
      activities: activitiesOf(async (_execution, { attempt, fence }) => {
        attempts.push(attempt);
        fences.push(fence);
        if (attempt < 3) throw new Error("disk full");
        return completed();
      }),
    });
    await submit({ "aex-1": "ses-1" });
    await ended(1);
    assert.deepEqual(attempts, [1, 2, 3]);
    assert.deepEqual(
      fences,
      [...new Set(fences)].toSorted((a, b) => a - b),
    );
    assert.equal(fixture.ends[0]?.phase, ExecutionPhase.EXECUTION_COMPLETED);
  });

  check("gives a run up that fails every time, says why, and goes on", async ({ fixture, submit, ended }) => {
    let attempts = 0;
    await fixture.startRunner({
      activities: activitiesOf(async (execution) => {
        if (idOf(execution) === "aex-2") return completed();
        attempts += 1;
        throw new Error("disk full");
      }),
    });
    await submit({ "aex-1": "ses-1", "aex-2": "ses-1" });
    await ended(2);
    assert.equal(attempts, 3);
    assert.equal(fixture.ends[0]?.phase, ExecutionPhase.EXECUTION_FAILED);
    assert.match(fixture.ends[0]?.error ?? "", /aex-1.*3 attempts.*disk full/);
    assert.equal(fixture.ends[1]?.executionId, "aex-2");
  });

  check("gives no run up that gets ahead between its failures", async ({ fixture, submit, ended }) => {
    const attempts: number[] = [];
    await fixture.startRunner({
      activities: activitiesOf(async (_execution, { attempt, progressed }) => {
        attempts.push(attempt);
        if (attempts.length === 7) return completed();
        if (attempts.length !== 4) progressed();
        throw new Error("disk full");
      }),
    });
    await submit({ "aex-1": "ses-1" });
    await ended(1);
    assert.deepEqual(attempts, [1, 2, 2, 2, 3, 2, 2]);
    assert.equal(fixture.ends[0]?.phase, ExecutionPhase.EXECUTION_COMPLETED);
  });

  check("nor one whose runners are lost after it got ahead", async ({ fixture, submit, ended, soon, until }) => {
    const attempts: number[] = [];
    await submit({ "aex-1": "ses-1" });
    for (let losses = 0; losses < 4; losses += 1) {
      const begun = Promise.withResolvers<void>();
      const runner = await fixture.startRunner({
        activities: activitiesOf(async (_execution, { attempt, progressed, signal }) => {
          attempts.push(attempt);
          progressed();
          begun.resolve();
          throw await aborted(signal);
        }),
      });
      await soon(begun.promise, "the run");
      await until(() => fixture.knowsProgress("aex-1"), "the engine to know of the progress");
      await runner.crash();
    }
    await fixture.startRunner({
      activities: activitiesOf(async (_execution, { attempt }) => {
        attempts.push(attempt);
        return completed();
      }),
    });
    await ended(1);
    assert.deepEqual(attempts, [1, 2, 2, 2, 2]);
    assert.equal(fixture.ends[0]?.phase, ExecutionPhase.EXECUTION_COMPLETED);
  });

  check("hands a draining runner's work to the next, without counting an attempt", async (subject) => {
    const { fixture, submit, ended, soon } = subject;
    const first = Promise.withResolvers<ActivityContext>();
    const second = Promise.withResolvers<ActivityContext>();
    const leaving = await fixture.startRunner({
      maxConcurrency: 2,
      activities: activitiesOf(async (_execution, context) => {
        first.resolve(context);
        throw await aborted(context.signal);
      }),
    });
    await submit({ "aex-1": "ses-1" });
    const before = await soon(first.promise, "the run");
    await leaving.drain({ deadlineMs: 10 });
    assert.equal((before.signal.reason as ActivityStop).kind, "draining");
    await fixture.startRunner({
      activities: activitiesOf(async (_execution, context) => {
        second.resolve(context);
        return completed();
      }),
    });
    const after = await soon(second.promise, "the next attempt");
    await ended(1);
    assert.ok(after.fence > before.fence);
    assert.equal(after.attempt, 1);
  });

  check("lets a draining runner end what it works on", async ({ fixture, submit, ended, soon }) => {
    const started = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const leaving = await fixture.startRunner({
      activities: activitiesOf(async () => {
        started.resolve();
        await gate.promise;
        return completed();
      }),
    });
    await submit({ "aex-1": "ses-1" });
    await soon(started.promise, "the run");
    const drained = leaving.drain({ deadlineMs: 60_000 });
    gate.resolve();
    await drained;
    await ended(1);
    assert.deepEqual(
      fixture.ends.map(({ phase }) => phase),
      [ExecutionPhase.EXECUTION_COMPLETED],
    );
  });

  check(
    "loses nothing with the server: what runs goes on, what waits begins, what is sent arrives",
    async (subject) => {
      const { fixture, submit, ended, soon } = subject;
      const running = Promise.withResolvers<ActivityContext>();
      const gate = Promise.withResolvers<void>();
      const runs: string[] = [];
      await fixture.startRunner({
        activities: activitiesOf(async (execution, context) => {
          runs.push(idOf(execution));
          running.resolve(context);
          await gate.promise;
          return completed();
        }),
      });
      await submit({ "aex-1": "ses-1", "aex-2": "ses-1" });
      const context = await soon(running.promise, "the run");
      await fixture.restartServer();
      const item = { case: "message", value: { text: "Still there?" } } as const;
      await fixture.engine.deliver("aex-1", create(InboxItemSchema, { id: "m1", item }));
      assert.deepEqual(await soon(received(context, 1), "the message"), ["m1"]);
      gate.resolve();
      await ended(2);
      assert.deepEqual(runs, ["aex-1", "aex-2"]);
      assert.equal(context.signal.aborted, false);
      assert.deepEqual(
        fixture.ends.map(({ executionId }) => executionId),
        ["aex-1", "aex-2"],
      );
    },
  );

  check("starts after a restart of the server what was stored and not started before it", async (subject) => {
    const { fixture, ended } = subject;
    const runs: string[] = [];
    await fixture.submit({ id: "aex-1", sessionId: "ses-1" });
    await fixture.restartServer();
    await fixture.startRunner({
      activities: activitiesOf(async (execution) => {
        runs.push(idOf(execution));
        return completed();
      }),
    });
    await ended(1);
    await fixture.engine.start("aex-1");
    await subject.submit({ "aex-2": "ses-2" });
    await ended(2);
    assert.deepEqual(runs, ["aex-1", "aex-2"]);
  });

  check("loses nothing with the engine: what runs goes on, what is paused stays so", async (subject) => {
    const { fixture, submit, ended, soon } = subject;
    const running = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const runs: string[] = [];
    await submit({ "aex-1": "ses-1" });
    await fixture.engine.pause("aex-1", "lunch");
    await fixture.startRunner({
      activities: activitiesOf(async (execution) => {
        runs.push(idOf(execution));
        running.resolve();
        await gate.promise;
        return completed();
      }),
    });
    await submit({ "aex-2": "ses-2" });
    await soon(running.promise, "the run");
    await fixture.restartEngine();
    gate.resolve();
    await submit({ "aex-3": "ses-3" });
    await ended(2);
    assert.deepEqual(runs, ["aex-2", "aex-3"]);
    await fixture.engine.resume("aex-1");
    await ended(3);
    assert.deepEqual(runs, ["aex-2", "aex-3", "aex-1"]);
  });

  check("runs each of many executions on one of many runners", async ({ fixture, submit, ended }) => {
    const runs: string[] = [];
    const activities = activitiesOf(async (execution) => {
      runs.push(idOf(execution));
      return completed();
    });
    await submit(
      Object.fromEntries(
        Array.from({ length: 200 }, (_, index) => [`aex-${String(index)}`, `ses-${String(index % 50)}`]),
      ),
    );
    for (let runner = 0; runner < 4; runner += 1) await fixture.startRunner({ activities, maxConcurrency: 5 });
    await ended(200);
    assert.equal(runs.length, 200);
    assert.equal(new Set(runs).size, 200);
    assert.equal(new Set(fixture.ends.map(({ executionId }) => executionId)).size, 200);
  });
}
