import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { ExecutionPhase } from "@stigmer/protos/agentexecution/v1";
import { ApprovalDecision } from "@stigmer/protos/agentexecution/v1";
import { type InboxItem, InboxItemSchema } from "@stigmer/protos/runner/v1";
import type { ActivityContext } from "../contract.ts";
import { ActivityStop } from "../errors.ts";
import { aborted, activitiesOf, type Check, completed, idOf, received } from "./engine-cases.ts";

/** Pauses, and what people send to runs. */
export function engineOrders(check: Check): void {
  check("begins nothing that was paused while it waited, nor what its session has behind it", async (subject) => {
    const { fixture, submit, ended } = subject;
    const runs: string[] = [];
    await submit({ "aex-1": "ses-1", "aex-2": "ses-1" });
    assert.notEqual(await fixture.engine.pause("aex-1", "lunch"), "over");
    assert.notEqual(await fixture.engine.pause("aex-1", "twice"), "over");
    await submit({ "aex-3": "ses-3", "aex-4": "ses-4" });
    await fixture.startRunner({
      activities: activitiesOf(async (execution) => {
        runs.push(idOf(execution));
        return completed();
      }),
    });
    await ended(2);
    assert.deepEqual(runs.toSorted(), ["aex-3", "aex-4"]);
    assert.notEqual(await fixture.engine.resume("aex-1"), "over");
    await ended(4);
    assert.deepEqual(runs.slice(2), ["aex-1", "aex-2"]);
  });

  check(
    "ends what was paused while it waited when it is cancelled, without a runner",
    async ({ fixture, submit, ended }) => {
      await submit({ "aex-1": "ses-1" });
      await fixture.engine.pause("aex-1", "lunch");
      await fixture.engine.cancel("aex-1", "changed my mind");
      await ended(1);
      assert.deepEqual(fixture.ends, [
        { executionId: "aex-1", phase: ExecutionPhase.EXECUTION_CANCELLED, error: "changed my mind" },
      ]);
    },
  );

  check("lets what runs come to rest, works on other things, and goes on when resumed", async (subject) => {
    const { fixture, submit, ended, soon } = subject;
    const contexts: ActivityContext[] = [];
    const first = Promise.withResolvers<void>();
    await fixture.startRunner({
      maxConcurrency: 1,
      activities: activitiesOf(async (execution, context) => {
        if (idOf(execution) === "aex-2") return completed();
        contexts.push(context);
        if (contexts.length > 1) return completed();
        first.resolve();
        throw await aborted(context.pause);
      }),
    });
    await submit({ "aex-1": "ses-1" });
    await soon(first.promise, "the run");
    await fixture.engine.pause("aex-1", "lunch");
    await fixture.engine.pause("aex-1", "twice");
    // The runner has one place: this runs when the other rests.
    await submit({ "aex-2": "ses-2" });
    await ended(1);
    assert.equal(fixture.ends[0]?.executionId, "aex-2");
    const [before] = contexts;
    assert.ok(ActivityStop.is(before?.pause.reason));
    assert.deepEqual([before.pause.reason.kind, before.pause.reason.message], ["paused", "lunch"]);
    assert.equal(before.signal.aborted, false, "nothing is interrupted for a pause");
    assert.equal(contexts.length, 1);
    await fixture.engine.resume("aex-1");
    await ended(2);
    const after = contexts[1];
    assert.equal(contexts.length, 2);
    assert.ok((after?.fence ?? 0) > before.fence);
    assert.equal(after?.attempt, 1, "a rest is not a failed attempt");
    assert.equal(after?.pause.aborted, false);
    assert.deepEqual(fixture.ends[1], { executionId: "aex-1", phase: ExecutionPhase.EXECUTION_COMPLETED, error: "" });
  });

  check("goes on by itself when it is resumed while it comes to rest", async (subject) => {
    const { fixture, submit, ended, soon } = subject;
    const running = Promise.withResolvers<void>();
    const told = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    let attempts = 0;
    await fixture.startRunner({
      activities: activitiesOf(async (_execution, { pause }) => {
        attempts += 1;
        if (attempts > 1) return completed();
        running.resolve();
        const stop = await aborted(pause);
        told.resolve();
        await gate.promise;
        throw stop;
      }),
    });
    await submit({ "aex-1": "ses-1" });
    await soon(running.promise, "the run");
    await fixture.engine.pause("aex-1", "lunch");
    await soon(told.promise, "the run to be told");
    assert.equal(await fixture.engine.resume("aex-1"), "running");
    gate.resolve();
    await ended(1);
    assert.equal(attempts, 2);
  });

  check("cancels a run at rest, without a runner", async (subject) => {
    const { fixture, submit, ended, soon } = subject;
    const running = Promise.withResolvers<void>();
    const runs: string[] = [];
    await fixture.startRunner({
      maxConcurrency: 1,
      activities: activitiesOf(async (execution, { pause }) => {
        runs.push(idOf(execution));
        if (idOf(execution) === "aex-2") return completed();
        running.resolve();
        throw await aborted(pause);
      }),
    });
    await submit({ "aex-1": "ses-1" });
    await soon(running.promise, "the run");
    await fixture.engine.pause("aex-1", "lunch");
    await submit({ "aex-2": "ses-2" });
    await ended(1);
    await fixture.engine.cancel("aex-1", "changed my mind");
    await ended(2);
    assert.deepEqual(fixture.ends[1], {
      executionId: "aex-1",
      phase: ExecutionPhase.EXECUTION_CANCELLED,
      error: "changed my mind",
    });
    assert.deepEqual(runs, ["aex-1", "aex-2"]);
  });

  check("keeps a run that paused itself until it is resumed, and brings it the decision", async (subject) => {
    const { fixture, submit, ended } = subject;
    const inboxes: string[][] = [];
    await fixture.startRunner({
      maxConcurrency: 1,
      activities: activitiesOf(async (execution, { inbox }) => {
        if (idOf(execution) === "aex-2") return completed();
        inboxes.push(inbox.items.map(inWords));
        if (inbox.items.length === 0) throw new ActivityStop("paused", "A tool call waits for a decision.");
        return completed();
      }),
    });
    await submit({ "aex-1": "ses-1" });
    await subject.until(() => inboxes.length > 0, "the run");
    await submit({ "aex-2": "ses-2" });
    await ended(1);
    const item = { case: "approval", value: { toolCallId: "call-1", decision: ApprovalDecision.APPROVE } } as const;
    await fixture.engine.deliver("aex-1", create(InboxItemSchema, { id: "decision-1", item }));
    await fixture.engine.resume("aex-1");
    await ended(2);
    assert.deepEqual(inboxes, [[], ["decision-1: 1 on call-1"]]);
  });

  check("brings each message once: before the start, while it runs, and all again after a loss", async (subject) => {
    const { fixture, submit, ended, soon } = subject;
    const engine = fixture.engine;
    const first = Promise.withResolvers<ActivityContext>();
    const second = Promise.withResolvers<ActivityContext>();
    const gate = Promise.withResolvers<void>();
    await submit({ "aex-1": "ses-1" });
    assert.notEqual(await engine.deliver("aex-1", message("m1")), "over");
    const lost = await fixture.startRunner({
      activities: activitiesOf(async (_execution, context) => {
        first.resolve(context);
        throw await aborted(context.signal);
      }),
    });
    const before = await soon(first.promise, "the run");
    assert.deepEqual(await soon(received(before, 1), "the message of before"), ["m1"]);
    await engine.deliver("aex-1", message("m2"));
    await engine.deliver("aex-1", message("m2"));
    await engine.deliver("aex-1", message("m3"));
    assert.deepEqual(await soon(received(before, 3), "the messages"), ["m1", "m2", "m3"]);
    assert.deepEqual(before.inbox.items.map(inWords), ["m1: text of m1", "m2: text of m2", "m3: text of m3"]);

    await lost.crash();
    await engine.deliver("aex-1", message("m4"));
    await fixture.startRunner({
      activities: activitiesOf(async (_execution, context) => {
        second.resolve(context);
        await gate.promise;
        return completed();
      }),
    });
    const after = await soon(second.promise, "the next attempt");
    await engine.deliver("aex-1", message("m5"));
    assert.deepEqual(await soon(received(after, 5), "all messages"), ["m1", "m2", "m3", "m4", "m5"]);
    gate.resolve();
    await ended(1);
    await subject.until(async () => (await engine.deliver("aex-1", message("m6"))) === "over", "the task to be over");
    assert.equal(await engine.deliver("aex-unknown", message("m1")), "over");
  });
}

function message(id: string): InboxItem {
  return create(InboxItemSchema, { id, item: { case: "message", value: { text: `text of ${id}` } } });
}

function inWords({ id, item }: InboxItem): string {
  switch (item.case) {
    case "message":
      return `${id}: ${item.value.text}`;
    case "approval":
      return `${id}: ${String(item.value.decision)} on ${item.value.toolCallId}`;
    default:
      return `${id}: nothing`;
  }
}
