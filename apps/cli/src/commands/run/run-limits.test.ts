import { expect, it } from "vitest";
import { readRunLimits } from "./run-limits.ts";

it("reads limits by the names that manifests use", () => {
  expect(readRunLimits(["maxToolCalls=5", "maxCostUsd=0.25"])).toEqual({ maxToolCalls: 5, maxCostUsd: 0.25 });
  expect(readRunLimits([])).toBeUndefined();
});

it("says which limits there are, and what a limit is", () => {
  expect(() => readRunLimits(["tokens=5"])).toThrow(/there is no limit "tokens" \(known: maxTokens, maxCostUsd, /);
  for (const wrong of ["maxTokens", "maxTokens=", "maxTokens=0", "maxTokens=-1", "maxTokens=x", "maxTokens=1.5"]) {
    expect(() => readRunLimits([wrong])).toThrow(/number above 0, such as maxTokens=10/);
  }
});
