import { execFileSync } from "node:child_process";
import { expect, it, test, vi } from "vitest";
import { hideSqliteWarning, whyNodeIsUnfit } from "./node-process.ts";

test.each(["22.18.0", "22.20.1", "24.0.0", "26.1.0"])("Node.js %s will do", (version) => {
  expect(whyNodeIsUnfit(version)).toBeUndefined();
});

test.each(["18.20.4", "20.20.2", "22.17.9"])("Node.js %s is too old", (version) => {
  expect(whyNodeIsUnfit(version)).toEqual({
    problem: `${version} is too old`,
    fix: "install Node.js 22.18 or newer (https://nodejs.org)",
    line: `Node.js ${version} is too old: install Node.js 22.18 or newer (https://nodejs.org)`,
  });
});

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

it("keeps a heap near to what lives in it", () => {
  const heapOf = (prepare: string): number => {
    const probe = `
      const { keepHeapSmall } = await import(${JSON.stringify(new URL("node-process.ts", import.meta.url).href)});
      ${prepare}
      const living = Array.from({ length: 300_000 }, (_, index) => ({ index, text: "n" + index }));
      let most = 0;
      for (let round = 0; round < 100; round += 1) {
        let kept = Array.from({ length: 50_000 }, (_, index) => ({ index, text: "g" + index }));
        await new Promise((resolve) => setImmediate(resolve));
        most = Math.max(most, process.memoryUsage().heapTotal);
      }
      console.log(living.length && most);
    `;
    return Number(execFileSync(process.execPath, ["--input-type=module", "--eval", probe], { encoding: "utf8" }));
  };
  expect(heapOf("keepHeapSmall();")).toBeLessThan(heapOf(""));
});

it("leaves a program's pauses alone until the room for what is new is full", () => {
  const collections = (prepare: string): number => {
    const probe = `
      const { collectWhenFull } = await import(${JSON.stringify(new URL("node-process.ts", import.meta.url).href)});
      const { PerformanceObserver } = await import("node:perf_hooks");
      ${prepare}
      let seen = 0;
      new PerformanceObserver((list) => (seen += list.getEntries().length)).observe({ entryTypes: ["gc"] });
      for (let round = 0; round < 2_000; round += 1) {
        Array.from({ length: 2_000 }, (_, index) => ({ index }));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
      console.log(seen);
    `;
    return Number(execFileSync(process.execPath, ["--input-type=module", "--eval", probe], { encoding: "utf8" }));
  };
  expect(collections("collectWhenFull();")).toBeLessThan(collections(""));
});
