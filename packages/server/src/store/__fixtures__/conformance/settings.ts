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
}
