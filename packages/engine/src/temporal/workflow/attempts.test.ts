import { ApplicationFailure } from "@temporalio/common";
import { describe, expect, it } from "vitest";
import { type AttemptFailure, FAILURE_TYPES } from "../failures.ts";
import { createAttempts } from "./attempts.ts";
import { settingsOf } from "./settings.ts";

const infrastructure: AttemptFailure = { kind: "infrastructure", message: "the disk was full", progressed: false };
const lost: AttemptFailure = { kind: "runner-lost", message: "silent", progressed: false };
const drained: AttemptFailure = { kind: "draining", message: "leaving" };
const paused: AttemptFailure = { kind: "paused", message: "at rest", itself: true };

/** What each attempt was counted as, and how long the next one waits. */
function go(failures: readonly AttemptFailure[], options = {}): (readonly [number, number] | string)[] {
  const attempts = createAttempts(settingsOf(options));
  return failures.map((failure) => {
    attempts.start();
    const { attempt } = attempts;
    const givenUp = attempts.failed(failure, "The execution aex-1");
    return givenUp ? givenUp.message : ([attempt, attempts.waitMs] as const);
  });
}

describe("attempts", () => {
  it("are counted, with waits that double up to half a minute", () => {
    expect(
      go(
        Array.from({ length: 8 }, () => infrastructure),
        { maxAttempts: 9 },
      ),
    ).toEqual([
      [1, 500],
      [2, 1_000],
      [3, 2_000],
      [4, 4_000],
      [5, 8_000],
      [6, 16_000],
      [7, 30_000],
      [8, 30_000],
    ]);
  });

  it("end with the last failure, in the words of the embedded engine", () => {
    expect(go([lost, infrastructure], { maxAttempts: 2 }).at(-1)).toBe(
      "The execution aex-1 was given up after 2 attempts. The last one: the disk was full",
    );
    const attempts = createAttempts(settingsOf({ maxAttempts: 1 }));
    attempts.start();
    const failure = attempts.failed(infrastructure, "It");
    expect(failure).toBeInstanceOf(ApplicationFailure);
    expect([failure?.type, failure?.nonRetryable]).toEqual([FAILURE_TYPES.exhausted, true]);
  });

  it("of a lost runner are counted, but waited enough", () => {
    expect(go([lost, lost, infrastructure])).toEqual([
      [1, 0],
      [2, 0],
      [3, 2_000],
    ]);
  });

  it("are counted from the one that got ahead last", () => {
    const ahead = { ...lost, progressed: true };
    const failed = { ...infrastructure, progressed: true };
    expect(go([lost, lost, ahead, lost, failed, lost, lost], { maxAttempts: 3 })).toEqual([
      [1, 0],
      [2, 0],
      [3, 0],
      [2, 0],
      [3, 500],
      [2, 0],
      "The execution aex-1 was given up after 3 attempts. The last one: silent",
    ]);
  });

  it("that were handed back are not counted; many in a row wait", () => {
    expect(go([drained, drained, drained, drained, drained, infrastructure, drained])).toEqual([
      [1, 0],
      [1, 0],
      [1, 0],
      [1, 500],
      [1, 1_000],
      [1, 500],
      [2, 0],
    ]);
  });

  it("that paused are not counted, and are no reason to wait", () => {
    expect(go(Array.from({ length: 6 }, () => paused))).toEqual(Array.from({ length: 6 }, () => [1, 0]));
  });

  it("go on counting in a new history", () => {
    const settings = settingsOf({ maxAttempts: 3 });
    let attempts = createAttempts(settings);
    attempts.start();
    attempts.failed(infrastructure, "It");
    attempts = createAttempts(settings, JSON.parse(JSON.stringify(attempts.carry())));
    expect([attempts.attempt, attempts.waitMs, attempts.lastFailure]).toEqual([1, 500, "the disk was full"]);
    attempts.start();
    expect(attempts.failed(lost, "It")).toBeUndefined();
    attempts.start();
    expect(attempts.failed(lost, "It")?.message).toBe("It was given up after 3 attempts. The last one: silent");
  });
});

describe("settings", () => {
  const defaults = {
    runnerTaskQueue: "agent_execution_runner",
    heartbeatTimeoutMs: 15_000,
    maxAttempts: 10,
    retryDelayMs: 500,
    searchAttributes: new Set(),
  };

  it.each([
    [undefined],
    [null],
    ["fast"],
    [{}],
    [{ runnerTaskQueue: "", heartbeatTimeoutMs: 0, maxAttempts: -1, retryDelayMs: "5", searchAttributes: "all" }],
    [{ maxAttempts: Number.NaN, of_tomorrow: true }],
  ])("of %j are the defaults", (options) => {
    expect(settingsOf(options)).toEqual(defaults);
  });

  it("are what was given", () => {
    const given = { runnerTaskQueue: "q", heartbeatTimeoutMs: 1, maxAttempts: 1, retryDelayMs: 0 };
    expect(settingsOf({ ...given, searchAttributes: ["StigmerOrg"] })).toEqual({
      ...given,
      searchAttributes: new Set(["StigmerOrg"]),
    });
  });
});
