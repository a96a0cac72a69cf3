import fc from "fast-check";
import { expect, it } from "vitest";
import { createGrowingLists } from "./growing-lists.ts";

interface Row {
  readonly base: number | undefined;
  readonly value: unknown;
}

it("what is read back is what was stored, however lists grow, shrink and change", () => {
  const step = fc.oneof(
    fc.record({ append: fc.nat(3) }),
    fc.record({ cut: fc.nat(3) }),
    fc.record({ replace: fc.nat() }),
    fc.constant("text" as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const lists = createGrowingLists();
      const rows: Row[] = [];
      const read = (id: number): unknown => {
        const { base, value } = rows[id]!;
        return base === undefined ? value : [...(read(base) as unknown[]), ...(value as unknown[])];
      };
      let list: object[] = [];
      for (const change of steps) {
        let value: unknown = list;
        if (change === "text") value = "text";
        else if ("append" in change) value = list = [...list, ...Array.from({ length: change.append }, () => ({}))];
        else if ("cut" in change) value = list = list.slice(0, Math.max(0, list.length - change.cut));
        else value = list = list.map((item, index) => (index === change.replace % list.length ? {} : item));
        const plan = lists.plan("k", value);
        const id = rows.push(plan) - 1;
        lists.stored("k", value, { id, base: plan.base, bytes: 1 });
        const back = read(id);
        const same = (a: unknown, b: unknown): boolean =>
          Array.isArray(a) && Array.isArray(b)
            ? a.length === b.length && a.every((item, index) => item === b[index])
            : a === b;
        expect(same(back, value)).toBe(true);
      }
    }),
  );
});

it("appends to what it stored, until that has doubled", () => {
  const lists = createGrowingLists();
  const items = [{}, {}];
  lists.stored("k", items, { id: 1, base: undefined, bytes: 1000 });
  const grown = [...items, {}];
  expect(lists.plan("k", grown)).toEqual({ base: 1, value: [{}] });
  lists.stored("k", grown, { id: 2, base: 1, bytes: 1_000_000 });
  expect(lists.plan("k", [...grown, {}])).toEqual({ base: undefined, value: [{}, {}, {}, {}] });
});

it("forgets a thread", () => {
  const lists = createGrowingLists();
  lists.stored('["a","",1]', [], { id: 1, base: undefined, bytes: 1 });
  lists.stored('["ab","",1]', [], { id: 2, base: undefined, bytes: 1 });
  lists.forget('["a",');
  expect(lists.plan('["a","",1]', [1]).base).toBeUndefined();
  expect(lists.plan('["ab","",1]', [1]).base).toBe(2);
});
