import { expect, it, vi } from "vitest";
import { hideSqliteWarning } from "./sqlite-warning.ts";

it("keeps Node's word on SQLite to itself, and passes every other warning on as it came", () => {
  const emitWarning = vi.fn();
  const process = { emitWarning };
  hideSqliteWarning(process);
  process.emitWarning("SQLite is an experimental feature and might change at any time", "ExperimentalWarning");
  process.emitWarning(new Error("SQLite is an experimental feature"));
  process.emitWarning("old", "DeprecationWarning", "DEP0001");
  const error = new Error("also old");
  process.emitWarning(error);
  expect(emitWarning.mock.calls).toEqual([["old", "DeprecationWarning", "DEP0001"], [error]]);
});
