import assert from "node:assert/strict";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import type { ActivityContext } from "../contract.ts";
import { ActivityStop } from "../errors.ts";
import { aborted, activitiesOf, type Check, completed, idOf, type Subject } from "./engine-cases.ts";

const question = new ActivityStop("paused", "Did the mail go out?");

/** What becomes of runs that rest for a question to a person, stored in their status before their engine hears of it. */
export function engineRests(check: Check): void {
  check("keeps a run that rests by itself, also when its runner is lost before it could say so", async (subject) => {
    const { fixture, submit, ended } = subject;
    const before = await lostAtRest(subject);
    const next = await secondRunner(subject);
    await subject.until(
      async () => next.taken.length > 0 || (await fixture.isPaused("aex-1")),
      "the run to rest, or to go on",
    );
    // The runner has one place: this runs when the other was not given to it, or came to rest at once.
    await submit({ "aex-2": "ses-2" });
    await ended(1);
    assert.deepEqual([next.taken, fixture.ends[0]?.executionId], [[], "aex-2"]);

    assert.notEqual(await fixture.engine.resume("aex-1"), "over");
    await ended(2);
    const [after] = next.taken;
    assert.equal(next.taken.length, 1);
    assert.ok((after?.fence ?? 0) > before.fence);
    assert.equal(after?.pause.aborted, false);
    assert.deepEqual(fixture.ends[1], { executionId: "aex-1", phase: ExecutionPhase.EXECUTION_COMPLETED, error: "" });
  });

  check("goes on with a run at rest that was answered before its runner was lost", async (subject) => {
    const { fixture, ended } = subject;
    await lostAtRest(subject, async () => {
      assert.equal(await fixture.engine.resume("aex-1"), "running");
    });
    const next = await secondRunner(subject);
    await ended(1);
    assert.equal(next.taken.length, 1);
    assert.equal(await fixture.isPaused("aex-1"), false);
  });

  check("does not take for an answer what was said before the question", async (subject) => {
    const { fixture, submit, ended, soon } = subject;
    const running = Promise.withResolvers<void>();
    const told = Promise.withResolvers<void>();
    const resumed = Promise.withResolvers<void>();
    let attempts = 0;
    await fixture.startRunner({
      activities: activitiesOf(async (execution, { pause, fence }) => {
        if (idOf(execution) === "aex-2" || ++attempts > 1) return completed();
        running.resolve();
        await aborted(pause);
        told.resolve();
        await resumed.promise;
        await fixture.comeToRest("aex-1", fence);
        throw question;
      }),
    });
    await submit({ "aex-1": "ses-1" });
    await soon(running.promise, "the run");
    await fixture.engine.pause("aex-1", "lunch");
    await soon(told.promise, "the run to be told");
    await fixture.engine.resume("aex-1");
    resumed.resolve();
    await subject.until(async () => attempts > 1 || (await fixture.isPaused("aex-1")), "the run to rest, or to go on");
    await submit({ "aex-2": "ses-2" });
    await ended(1);
    assert.deepEqual([attempts, fixture.ends[0]?.executionId], [1, "aex-2"]);
    await fixture.engine.resume("aex-1");
    await ended(2);
    assert.equal(attempts, 2);
  });

  check("keeps an answer past a restart of the server, until the runner has let go of the run", async (subject) => {
    const { fixture, submit, ended, soon } = subject;
    const rests = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    let attempts = 0;
    await fixture.startRunner({
      activities: activitiesOf(async (_execution, { fence }) => {
        if (++attempts > 1) return completed();
        await fixture.comeToRest("aex-1", fence);
        rests.resolve();
        await gate.promise;
        throw question;
      }),
    });
    await submit({ "aex-1": "ses-1" });
    await soon(rests.promise, "the rest");
    await fixture.engine.resume("aex-1");
    await fixture.restartServer();
    gate.resolve();
    await ended(1);
    assert.equal(attempts, 2);
  });
}

/** A run that was stored at rest, and whose runner died then, before it handed the run back; after what came between. */
async function lostAtRest(
  { fixture, submit, soon }: Subject,
  between: () => Promise<void> = async () => {},
): Promise<ActivityContext> {
  const atRest = Promise.withResolvers<ActivityContext>();
  const lost = await fixture.startRunner({
    activities: activitiesOf(async (_execution, context) => {
      await fixture.comeToRest("aex-1", context.fence);
      atRest.resolve(context);
      throw await aborted(context.signal);
    }),
  });
  await submit({ "aex-1": "ses-1" });
  const before = await soon(atRest.promise, "the rest");
  await between();
  await lost.crash();
  return before;
}

/** A runner that takes one run at a time, with the attempts that went on with `aex-1`. */
async function secondRunner({ fixture }: Subject): Promise<{ readonly taken: readonly ActivityContext[] }> {
  const taken: ActivityContext[] = [];
  await fixture.startRunner({
    maxConcurrency: 1,
    activities: activitiesOf(async (execution, context) => {
      if (idOf(execution) === "aex-1") taken.push(context);
      return completed();
    }),
  });
  return { taken };
}
