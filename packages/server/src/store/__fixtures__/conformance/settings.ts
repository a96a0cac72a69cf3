import { expect, it } from "vitest";
import type { Subject } from "./index.ts";

export function settingCases(subject: Subject): void {
  it("keeps the first value of a setting, whoever else comes and whenever", async () => {
    const values = ["a", "b", "c", "d"];
    const kept = await Promise.all(values.map((value) => subject.store.settings.keepFirst("one", value)));
    expect(new Set(kept).size).toBe(1);
    expect(values).toContain(kept[0]);
    expect(await subject.store.settings.keepFirst("two", "x")).toBe("x");
    const store = await subject.reopen();
    expect(await store.settings.keepFirst("one", "z")).toBe(kept[0]);
    expect(await store.settings.keepFirst("two", "z")).toBe("x");
  });

  it("gives a turn to one at a time, and to others when its time is over", async () => {
    const { settings } = subject.store;
    const take = (now: number, until: number, name = "sweep"): Promise<boolean> => settings.takeTurn(name, { now, until });
    expect((await Promise.all([1, 2, 3, 4].map(() => take(100, 2_000)))).filter(Boolean)).toHaveLength(1);
    expect(await take(999, 3_000)).toBe(false);
    expect(await take(999, 3_000, "another")).toBe(true);
    expect(await take(2_000, 10_000)).toBe(true);
    expect(await take(9_999, 20_000)).toBe(false);
    const reopened = await subject.reopen();
    expect(await reopened.settings.takeTurn("sweep", { now: 9_999, until: 20_000 })).toBe(false);
  });
}
