import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mergeEnvironment } from "./merge-environment.ts";

const plain = (value: string): { value: string; isSecret: boolean } => ({ value, isSecret: false });
const secret = (value: string): { value: string; isSecret: boolean } => ({ value, isSecret: true });

describe("mergeEnvironment", () => {
  it("lets later layers win", () => {
    const merged = mergeEnvironment([
      { A: plain("agent"), B: plain("agent"), C: plain("agent"), D: plain("agent") },
      { B: plain("first"), C: plain("first"), D: plain("first") },
      { C: plain("second"), D: plain("second") },
      { D: plain("run") },
    ]);
    expect(merged.values).toEqual({ A: "agent", B: "first", C: "second", D: "run" });
  });

  it("keeps a value under a later declaration without one", () => {
    expect(mergeEnvironment([{ A: plain("set") }, { A: plain("") }, { B: plain("") }]).values).toEqual({ A: "set" });
  });

  it("names the secrets that are in force, not those overlaid", () => {
    const merged = mergeEnvironment([{ A: secret("old-token"), B: secret("kept-token") }, { A: plain("shown") }]);
    expect(merged.secrets).toEqual(["kept-token"]);
  });
});

const names = ["A", "B", "C", "__proto__", "constructor"];
const variable = fc.record({ value: fc.constantFrom("", "x", "y", "z1", "z2"), isSecret: fc.boolean() });
const layer = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...names), variable), { selector: ([name]) => name })
  .map((entries) => Object.fromEntries(entries));

it("has of each name the value of the topmost layer that gives it one, secret when that layer says so", () => {
  fc.assert(
    fc.property(fc.array(layer, { maxLength: 6 }), (layers) => {
      const { values, secrets } = mergeEnvironment(layers);
      const expected = names.flatMap((name) => {
        const top = layers.findLast((each) => Object.hasOwn(each, name) && each[name]?.value !== "")?.[name];
        return top ? [[name, top] as const] : [];
      });
      expect(values).toEqual(Object.fromEntries(expected.map(([name, { value }]) => [name, value])));
      const hidden = expected.flatMap(([, { value, isSecret }]) => (isSecret ? [value] : []));
      expect(secrets.toSorted()).toEqual(hidden.toSorted());
    }),
  );
});

it("is the same whether layers are merged at once or one after the other", () => {
  const asLayer = (layers: Parameters<typeof mergeEnvironment>[0]): Parameters<typeof mergeEnvironment>[0][number] => {
    const { values } = mergeEnvironment(layers);
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value, isSecret: false }]));
  };
  fc.assert(
    fc.property(fc.array(layer, { maxLength: 4 }), fc.array(layer, { maxLength: 4 }), (below, above) => {
      expect(mergeEnvironment([asLayer(below), asLayer(above)]).values).toEqual(
        mergeEnvironment([...below, ...above]).values,
      );
    }),
  );
});
