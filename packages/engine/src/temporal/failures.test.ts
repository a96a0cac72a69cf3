import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  defaultFailureConverter,
  TimeoutFailure,
  TimeoutType,
} from "@temporalio/common";
import { describe, expect, it } from "vitest";
import { ActivityStop, type ActivityStopKind } from "../errors.ts";
import { activityFailure, attemptFailure, type AttemptFailure, FAILURE_TYPES, refusedFailure } from "./failures.ts";
import { payloadConverter } from "./payload-converter.ts";

/** What the workflow makes of what an activity threw, after it went over the wire. */
function carried(failure: Error): AttemptFailure {
  const wire = defaultFailureConverter.errorToFailure(failure, payloadConverter);
  const cause = defaultFailureConverter.failureToError(wire, payloadConverter) as Error;
  return attemptFailure(
    new ActivityFailure("Activity task failed", "ExecuteGraphton", "1", "IN_PROGRESS", "runner", cause),
  );
}

describe("what an activity throws", () => {
  it.each<[ActivityStopKind, boolean, AttemptFailure, boolean]>([
    ["cancelled", false, { kind: "cancelled", message: "too slow" }, true],
    ["draining", false, { kind: "draining", message: "too slow" }, false],
    ["lease-lost", false, { kind: "lease-lost", message: "too slow" }, false],
    ["paused", true, { kind: "paused", message: "too slow", itself: false }, false],
    ["paused", false, { kind: "paused", message: "too slow", itself: true }, false],
  ])("on the stop %s (pause asked: %j) reaches the workflow", (kind, pauseAsked, expected, nonRetryable) => {
    const failure = activityFailure(new ActivityStop(kind, "too slow"), { pauseAsked });
    expect(carried(failure)).toEqual(expected);
    // A foreign workflow leaves it to Temporal whether to try again.
    expect(failure.nonRetryable).toBe(nonRetryable);
  });

  it("after a stop is the stop, not its echo", () => {
    const echo = new DOMException("This operation was aborted", "AbortError");
    const stopReason = new ActivityStop("draining", "leaving");
    expect(carried(activityFailure(echo, { stopReason, pauseAsked: false }))).toEqual({
      kind: "draining",
      message: "leaving",
    });
    const own = new ActivityStop("cancelled", "asked for");
    expect(carried(activityFailure(own, { stopReason, pauseAsked: false })).kind).toBe("cancelled");
  });

  it("otherwise is the infrastructure's fault, in its words alone", () => {
    const failure = activityFailure(new Error("the disk was full", { cause: new Error("sk-secret") }), {
      pauseAsked: false,
    });
    expect(carried(failure)).toEqual({ kind: "infrastructure", message: "the disk was full", progressed: false });
    expect(JSON.stringify(defaultFailureConverter.errorToFailure(failure, payloadConverter))).not.toContain(
      "sk-secret",
    );
    expect(failure.nonRetryable).toBe(false);
    expect(carried(activityFailure("just a text", { pauseAsked: false })).message).toBe("just a text");
  });

  it("tells that the attempt had got ahead", () => {
    const progress = { progressed: true } as const;
    const failure = activityFailure(new Error("the disk was full"), { pauseAsked: false, progress });
    expect(carried(failure)).toEqual({ kind: "infrastructure", message: "the disk was full", progressed: true });
    const stop = activityFailure(new ActivityStop("paused", "rest"), { pauseAsked: false, progress });
    expect(carried(stop)).toEqual({ kind: "paused", message: "rest", itself: true });
  });

  it("can end the run", () => {
    const failure = activityFailure(refusedFailure("There is no such execution."), { pauseAsked: false });
    expect(carried(failure)).toEqual({ kind: "refused", message: "There is no such execution." });
    expect(failure.nonRetryable).toBe(true);
  });
});

describe("what a runner of another origin throws", () => {
  it.each([
    ["any error", ApplicationFailure.retryable("boom", "ValueError"), "infrastructure"],
    ["an error that is marked as final", ApplicationFailure.nonRetryable("boom", "ValueError"), "refused"],
    [
      "a payload that it can't read",
      ApplicationFailure.nonRetryable("boom", FAILURE_TYPES.unreadable),
      "infrastructure",
    ],
    ["a cancellation", new CancelledFailure("boom"), "cancelled"],
  ])("%s", (_what, failure, kind) => {
    expect(carried(failure)).toMatchObject({ kind, message: "boom" });
  });

  it("a pause without a word on whose it is waits for a person", () => {
    expect(carried(ApplicationFailure.retryable("Look.", FAILURE_TYPES.paused))).toEqual({
      kind: "paused",
      message: "Look.",
      itself: true,
    });
  });
});

describe("what Temporal says", () => {
  it.each([
    [TimeoutType.HEARTBEAT, { kind: "runner-lost", message: "Its runner was lost: nothing was heard of it in time." }],
    [TimeoutType.START_TO_CLOSE, { kind: "infrastructure", message: "It took longer than an attempt may." }],
  ])("of the time-out %s, and what the last heartbeat told", (type, expected) => {
    for (const details of [undefined, null, "others'", { other: 1 }]) {
      expect(carried(new TimeoutFailure("activity timeout", details, type))).toEqual({
        ...expected,
        progressed: false,
      });
    }
    const ahead = new TimeoutFailure("activity timeout", { progressed: true }, type);
    expect(carried(ahead)).toEqual({ ...expected, progressed: true });
  });
});
