import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Fanout, FanoutState } from "../fanout/fanout.ts";
import { createInProcessFanout } from "../fanout/in-process.ts";
import { silentLogger } from "../logger.ts";
import type { Store } from "../store/store.ts";
import { createLookUps, type LookUps } from "./look-ups.ts";

let state: FanoutState;
let change: (next: FanoutState) => void;
let revisions: ReturnType<typeof vi.fn<Store["executions"]["revisions"]>>;
let warnings: string[];
let lookUps: LookUps;
beforeEach(() => {
  vi.useFakeTimers();
  state = "polling";
  warnings = [];
  revisions = vi.fn(async (ids) => new Map(ids.map((id) => [id, 1])));
  lookUps = open(true);
});
afterEach(() => {
  lookUps.close();
  vi.useRealTimers();
});

function open(shared: boolean): LookUps {
  const fanout: Fanout = {
    ...createInProcessFanout({ shared }),
    get state() {
      return state;
    },
    onState: (listener) => {
      change = (next) => {
        state = next;
        listener(next);
      };
    },
  };
  const store = { executions: { revisions } as unknown as Store["executions"] };
  const logger = { ...silentLogger, warn: (_fields: object, message: string) => void warnings.push(message) };
  return createLookUps({ store, fanout, logger, pollEveryMs: 500, checkEveryMs: 5_000 });
}

function follow(id: string, revision = 1): { readonly found: (number | undefined)[]; stop(): void } {
  const found: (number | undefined)[] = [];
  const stop = lookUps.followRun({ id, revision, lookUp: (seen) => void found.push(seen) });
  return { found, stop };
}

it("asks for all runs at once, twice a second while nobody tells, and seldom while somebody does", async () => {
  follow("aex-1");
  follow("aex-2");
  await vi.advanceTimersByTimeAsync(2_000);
  expect(revisions.mock.calls).toEqual(Array.from({ length: 4 }, () => [["aex-1", "aex-2"]]));
  change("live");
  await vi.advanceTimersByTimeAsync(0);
  expect(revisions).toHaveBeenCalledTimes(5);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(revisions).toHaveBeenCalledTimes(7);
  change("polling");
  await vi.advanceTimersByTimeAsync(500);
  expect(revisions).toHaveBeenCalledTimes(9);
  expect(lookUps.pollsTotal).toBe(9);
});

it("tells those that are behind or gone, and no others", async () => {
  const behind = follow("aex-1", 0);
  const current = follow("aex-2");
  const gone = follow("aex-3");
  revisions.mockImplementation(
    async () =>
      new Map([
        ["aex-1", 4],
        ["aex-2", 1],
      ]),
  );
  await vi.advanceTimersByTimeAsync(500);
  expect([behind.found, current.found, gone.found]).toEqual([[4], [], [undefined]]);
  for (const each of [behind, current, gone]) each.stop();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(revisions).toHaveBeenCalledTimes(1);
});

it("compares lists as often as runs while nobody tells, and more seldom while somebody does, each for itself", async () => {
  const list = vi.fn(async () => {});
  const slow = Promise.withResolvers<void>();
  lookUps.followList(list);
  lookUps.followList(() => slow.promise);
  follow("aex-1");
  await vi.advanceTimersByTimeAsync(2_000);
  // The runs need not wait for a list that takes long.
  expect([list.mock.calls.length, revisions.mock.calls.length]).toEqual([1, 4]);
  slow.resolve();
  await vi.advanceTimersByTimeAsync(500);
  expect(list).toHaveBeenCalledTimes(2);
  change("live");
  await vi.advanceTimersByTimeAsync(30_000);
  expect([list.mock.calls.length, revisions.mock.calls.length]).toEqual([4, 12]);
});

it("asks nothing when nobody else writes to the store", async () => {
  lookUps.close();
  lookUps = open(false);
  follow("aex-1");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(revisions).not.toHaveBeenCalled();
});

it("says once that the store is away, and asks on", async () => {
  const behind = follow("aex-1", 0);
  revisions.mockRejectedValue(new Error("away"));
  await vi.advanceTimersByTimeAsync(2_000);
  expect(warnings).toEqual(["the store could not be asked what other servers did"]);
  revisions.mockImplementation(async () => new Map([["aex-1", 2]]));
  await vi.advanceTimersByTimeAsync(500);
  expect(behind.found).toEqual([2]);
  revisions.mockRejectedValue(new Error("away again"));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(warnings).toHaveLength(2);
});
