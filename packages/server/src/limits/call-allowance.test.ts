import fc from "fast-check";
import { expect, it } from "vitest";
import { createCallAllowance } from "./call-allowance.ts";

it("gives a burst at once, then so many a second, and says how long to wait", () => {
  let now = 5_000;
  const allowance = createCallAllowance({ callsPerSecond: 10, callBurst: 3, clock: () => now });
  const takeAll = (): number[] => [1, 2, 3, 4].map(() => Math.round(allowance.take("a")));
  expect(takeAll()).toEqual([0, 0, 0, 100]);
  expect(allowance.take("b")).toBe(0);
  now += 40;
  expect(Math.round(allowance.take("a"))).toBe(60);
  now += 60;
  expect(takeAll()).toEqual([0, 100, 100, 100]);
  now += 10_000;
  expect(takeAll()).toEqual([0, 0, 0, 100]);
});

it("gives evenly to who was refused a moment ago, and a burst again to who kept to the allowance for as long", () => {
  let now = 0;
  const allowance = createCallAllowance({ callsPerSecond: 100, callBurst: 200, clock: () => now });
  const takeAll = (): number => {
    let taken = 0;
    while (allowance.take("a") === 0) taken += 1;
    return taken;
  };
  expect(takeAll()).toBe(200);
  now += 1_000;
  expect(takeAll()).toBe(5);
  now += 30;
  expect(takeAll()).toBe(3);
  now += 2_000;
  expect(takeAll()).toBe(200);
});

it("never gives more than the burst and what came since, and never less to who waits as told", () => {
  const rules = fc.record({ callsPerSecond: fc.integer({ min: 1, max: 50 }), more: fc.nat(50) });
  fc.assert(
    fc.property(rules, fc.array(fc.nat(300), { maxLength: 200 }), ({ callsPerSecond, more }, pauses) => {
      let now = 0;
      const callBurst = callsPerSecond + more;
      const allowance = createCallAllowance({ callsPerSecond, callBurst, clock: () => now });
      let taken = 0;
      for (const pause of pauses) {
        now += pause;
        const waitMs = allowance.take("a");
        now += waitMs;
        expect(waitMs === 0 ? 0 : allowance.take("a")).toBe(0);
        taken += 1;
        expect(taken).toBeLessThanOrEqual(callBurst + (now * callsPerSecond) / 1_000 + 1e-3);
      }
    }),
  );
});

it("remembers who is busy while it forgets the others", () => {
  let now = 0;
  const allowance = createCallAllowance({ callsPerSecond: 1, callBurst: 1, clock: () => now });
  expect(allowance.take("busy")).toBe(0);
  for (let index = 0; index < 5_000; index++) {
    now += 0.1;
    allowance.take(`org-${index}`);
  }
  expect(allowance.take("busy")).toBeGreaterThan(400);
});
