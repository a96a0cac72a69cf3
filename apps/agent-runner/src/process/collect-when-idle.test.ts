import { PerformanceObserver } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it, vi } from "vitest";
import { createIdleCollector } from "./collect-when-idle.ts";

it("collects once no run is under way, and not between runs", async () => {
  const collect = vi.fn();
  const { during } = createIdleCollector(collect);
  const long = Promise.withResolvers<string>();
  const longer = during(() => long.promise);
  await expect(during(() => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
  await sleep(50);
  expect(collect).not.toHaveBeenCalled();
  long.resolve("done");
  expect(await longer).toBe("done");
  expect(collect).not.toHaveBeenCalled();
  await vi.waitFor(() => expect(collect).toHaveBeenCalledOnce());
  await during(async () => {});
  await during(() => sleep(50));
  expect(collect).toHaveBeenCalledOnce();
  await vi.waitFor(() => expect(collect).toHaveBeenCalledTimes(2));
});

it("has V8 collect what is young", async () => {
  const kinds: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) kinds.push((entry as { detail?: { kind?: number } }).detail?.kind ?? 0);
  });
  observer.observe({ entryTypes: ["gc"] });
  const { during } = createIdleCollector();
  await during(async () => {});
  const minor = 1;
  await vi.waitFor(() => expect(kinds).toContain(minor));
  observer.disconnect();
  expect(globalThis).not.toHaveProperty("gc");
});
