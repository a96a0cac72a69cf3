import { expect, it } from "vitest";
import { readRunLimits } from "./run-limits.ts";

it("reads limits by the names that manifests use", () => {
  expect(readRunLimits({ limit: ["maxToolCalls=5", "maxCostUsd=0.25"] })).toEqual({
    maxToolCalls: 5,
    maxCostUsd: 0.25,
  });
  expect(readRunLimits({ limit: [] })).toBeUndefined();
});

it("says which limits there are, and what a limit is", () => {
  expect(() => readRunLimits({ limit: ["tokens=5"] })).toThrow(
    /there is no limit "tokens" \(known: maxTokens, maxCostUsd, /,
  );
  for (const wrong of ["maxTokens", "maxTokens=", "maxTokens=0", "maxTokens=-1", "maxTokens=x", "maxTokens=1.5"]) {
    expect(() => readRunLimits({ limit: [wrong] })).toThrow(/number above 0, such as maxTokens=10/);
  }
});

it("takes a budget for the limit of the cost, and not both", () => {
  expect(readRunLimits({ limit: ["maxToolCalls=5"], budget: 0.5 })).toEqual({ maxToolCalls: 5, maxCostUsd: 0.5 });
  expect(readRunLimits({ limit: [], budget: 0.5 })).toEqual({ maxCostUsd: 0.5 });
  expect(() => readRunLimits({ limit: ["maxCostUsd=1"], budget: 0.5 })).toThrow("give one of them");
});
