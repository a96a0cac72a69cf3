import { expect, test } from "vitest";
import { createManualClock } from "../embedded/__fixtures__/manual-clock.ts";
import { rest } from "../embedded/__fixtures__/rest.ts";
import { createLongPolls } from "./long-polls.ts";

/** Waits until its turn is over, or its end comes. */
function pollUntil(end: Promise<string>, log: (event: string) => void) {
  return (turn: AbortSignal): Promise<string> => {
    log("in");
    return new Promise((resolve, reject) => {
      turn.addEventListener("abort", () => {
        log("out");
        reject(turn.reason as Error);
      });
      void end.then(resolve);
    });
  };
}

test("no more wait at a time than may, and each gets its turn", async () => {
  const clock = createManualClock();
  const polls = createLongPolls({ limit: 2, turnMs: 100, clock });
  const { signal } = new AbortController();
  const events: string[] = [];
  const ends = ["a", "b", "c"].map((name) => {
    const end = Promise.withResolvers<string>();
    return {
      ...end,
      result: polls.take(
        signal,
        pollUntil(end.promise, (event) => events.push(`${name} ${event}`)),
      ),
    };
  });
  await rest();
  expect(events).toEqual(["a in", "b in"]);
  clock.advance(100);
  await rest();
  expect(events.slice(2).toSorted()).toEqual(["a out", "b out", expect.stringMatching(/^[ab] in$/), "c in"].toSorted());
  for (const [index, { resolve, result }] of ends.entries()) {
    resolve(`end ${String(index)}`);
    clock.advance(100);
    expect(await result).toBe(`end ${String(index)}`);
  }
  await rest();
  expect(clock.pending).toBe(0);
});

test("a turn does not end while nobody else waits", async () => {
  const clock = createManualClock();
  const polls = createLongPolls({ limit: 1, turnMs: 100, clock });
  const events: string[] = [];
  const end = Promise.withResolvers<string>();
  const result = polls.take(
    new AbortController().signal,
    pollUntil(end.promise, (event) => events.push(event)),
  );
  await rest();
  for (let turn = 0; turn < 5; turn += 1) {
    clock.advance(100);
    await rest();
  }
  end.resolve("end");
  expect([await result, events]).toEqual(["end", ["in"]]);
});

test("a poll's own fault is the caller's, and leaves its place to the next", async () => {
  const polls = createLongPolls({ limit: 1, clock: createManualClock() });
  const { signal } = new AbortController();
  await expect(polls.take(signal, () => Promise.reject(new Error("away")))).rejects.toThrow("away");
  expect(await polls.take(signal, async () => "end")).toBe("end");
});

test("who is told to stop does not poll again", async () => {
  const clock = createManualClock();
  const polls = createLongPolls({ limit: 1, turnMs: 100, clock });
  const stop = new AbortController();
  const waiting = polls.take(
    stop.signal,
    pollUntil(new Promise(() => {}), () => {}),
  );
  await rest();
  stop.abort(new Error("closed"));
  await expect(waiting).rejects.toThrow("closed");
  await rest();
  expect(clock.pending).toBe(0);
});
