import { expect, test } from "vitest";
import { createPricing, MODEL_PRICES } from "./prices.ts";

const tokens = { input: 1000, output: 100, cached: 0, cacheWritten: 0 };

test.each([
  ["claude-sonnet-4-5", 4500],
  ["claude-sonnet-4-5-20250929", 4500],
  ["claude-sonnet-4.5", 4500],
  ["anthropic/claude-sonnet-4.5", 4500],
  ["eu.anthropic.claude-sonnet-4-5-20250929-v1:0", 4500],
  ["claude-opus-4-1-20250805", 22_500],
  ["claude-opus-4-5-20251101", 7500],
  ["gpt-5-2025-08-07", 2250],
  ["gpt-5-mini-2025-08-07", 450],
  ["gpt-5.1", 2250],
  ["openai/gpt-4o-mini", 210],
  ["gpt-5x", 0],
  ["gpt-5.99", 0],
  ["qwen2.5-coder:7b", 0],
  ["", 0],
])("%s: %d millionths of a dollar", (model, cost) => {
  expect(createPricing()(model, tokens)).toBeCloseTo(cost);
});

test("what the cache has costs less, what goes into it more", () => {
  const price = createPricing();
  expect(price("claude-sonnet-4-5", { ...tokens, cached: 600, cacheWritten: 300 })).toBeCloseTo(
    100 * 3 + 600 * 0.3 + 300 * 3.75 + 100 * 15,
  );
  // Without a price of its own it is input like any other, and no provider's odd count makes a call cheaper than nothing.
  expect(price("gpt-5-pro", { ...tokens, cached: 600 })).toBeCloseTo(1000 * 15 + 100 * 120);
  expect(price("gpt-5", { input: 10, output: 0, cached: 20, cacheWritten: 0 })).toBeCloseTo(2.5);
});

test("a user's prices come first, and longer names before shorter ones", () => {
  const price = createPricing({ "gpt-5": { input: 1, output: 0 }, "my-model": { input: 2, output: 0 } });
  expect(price("gpt-5-2025-08-07", tokens)).toBe(1000);
  expect(price("gpt-5-mini", tokens)).toBeCloseTo(450);
  expect(price("my-model:latest", tokens)).toBe(2000);
});

test("no list price is odd", () => {
  for (const [name, { input, output, cachedInput = input }] of Object.entries(MODEL_PRICES)) {
    expect(`${name} ${output > input && cachedInput <= input && input > 0}`).toBe(`${name} true`);
  }
});
