import { describe, expect, test } from "vitest";
import { ApiResourceKindSchema } from "./gen/ai/stigmer/commons/apiresource/apiresourcekind/index.js";
import { kindNameOf, kinds } from "./kinds.ts";

describe("kinds", () => {
  test("are those of the enum, all but the unknown one", () => {
    const fromTable = Object.values(kinds).map(({ number, enumValue }) => ({ number, name: enumValue }));
    const fromEnum = ApiResourceKindSchema.values.map(({ number, name }) => ({ number, name }));
    expect(fromTable).toEqual(fromEnum.filter(({ number }) => number !== 0));
    expect(fromTable).toHaveLength(18);
  });

  test("are named as their enum value is, in another case", () => {
    for (const [name, { enumValue }] of Object.entries(kinds)) {
      expect(name.replace(/(?<!^)[A-Z]/g, "_$&").toLowerCase()).toBe(enumValue);
    }
  });

  test("have a prefix each", () => {
    expect(new Set(Object.values(kinds).map(({ idPrefix }) => idPrefix)).size).toBe(18);
  });

  test("are found by number", () => {
    expect(kindNameOf(53)).toBe("Environment");
    expect(kindNameOf(0)).toBeUndefined();
    expect(kindNameOf(55)).toBeUndefined();
  });
});
