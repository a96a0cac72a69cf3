import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";

it("gives back what a start left behind, and keeps no program from ending", () => {
  const probe = `
    const { releaseStartMemory } = await import(${JSON.stringify(new URL("release-start-memory.ts", import.meta.url).href)});
    const { setTimeout: sleep } = await import("node:timers/promises");
    let garbage = Array.from({ length: 1_000_000 }, (_, index) => ({ index, text: "n" + index }));
    garbage = undefined;
    const before = process.memoryUsage().heapTotal;
    releaseStartMemory();
    for (let turn = 0; turn < 1_000 && process.memoryUsage().heapTotal > before / 2; turn += 1) await sleep(20);
    console.log(JSON.stringify([before, process.memoryUsage().heapTotal, "gc" in globalThis]));
    releaseStartMemory();
  `;
  const [before, after, exposed] = JSON.parse(
    execFileSync(process.execPath, ["--conditions=@stigmer/source", "--input-type=module", "--eval", probe], {
      encoding: "utf8",
    }),
  ) as [number, number, boolean];
  expect(before).toBeGreaterThan(50 * 2 ** 20);
  expect(after).toBeLessThan(before / 2);
  expect(exposed).toBe(false);
});
