import { uuid6 } from "@langchain/langgraph-checkpoint";
import { afterEach, expect, it, vi } from "vitest";
import { waitUntilPast } from "./wait-until-past.ts";

afterEach(() => vi.useRealTimers());

const NOW = Date.parse("2026-11-23T12:00:00.250Z");

function idAt(time: number): string {
  vi.useFakeTimers({ toFake: ["Date"], now: time });
  try {
    return uuid6(0);
  } finally {
    vi.useRealTimers();
  }
}

it.each([
  ["a second ago", -1_000],
  ["a millisecond ago", -1],
])("goes on at once after what was put %s", async (_, before) => {
  const clock = vi.fn(() => NOW);
  await waitUntilPast(idAt(NOW + before), { threadId: "t", clock });
  expect(clock).toHaveBeenCalledTimes(1);
});

it.each([0, 20])("waits until the clock is past what was put %i ms later", async (ahead) => {
  const begun = performance.now();
  const clock = (): number => NOW + Math.floor(performance.now() - begun);
  await waitUntilPast(idAt(NOW + ahead), { threadId: "t", clock });
  expect(clock()).toBeGreaterThan(NOW + ahead);
});

it("says by how much the clocks differ, rather than wait for long", async () => {
  const waiting = waitUntilPast(idAt(NOW + 3_600_000), { threadId: "thread-1", clock: () => NOW });
  await expect(waiting).rejects.toMatchObject({ name: "AgentError", code: "checkpoint" });
  await expect(waiting).rejects.toThrow(
    /^The conversation thread-1 was last written at 2026-11-23T13:00:00.250Z, which by the clock of this machine is in 3600 seconds: .*NTP/,
  );
});

it.each(["", "1", "9f1c3f5e-7a0e-4a57-9e0e-3f2f5c0f6b1d"])("knows nothing of the id %j", async (id) => {
  const clock = vi.fn(() => NOW);
  await waitUntilPast(id, { threadId: "t", clock });
  expect(clock).not.toHaveBeenCalled();
});
