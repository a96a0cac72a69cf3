import { expect, it } from "vitest";
import { retryDelayMs } from "./retry-delay.ts";

const delays = (random: number): number[] =>
  Array.from({ length: 10 }, (_, index) => retryDelayMs(index + 1, () => random));

it("retries fast at first, then ever slower up to two seconds, with jitter over half of the wait", () => {
  expect(delays(0)).toEqual([50, 50, 50, 100, 200, 400, 800, 1_000, 1_000, 1_000]);
  expect(delays(1)).toEqual([100, 100, 100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
});
