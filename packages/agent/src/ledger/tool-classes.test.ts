import { expect, it } from "vitest";
import { classOf, isOwnTool } from "./tool-classes.ts";

const hinted = (name: string, annotations?: unknown): string => classOf({ name, metadata: { annotations } });

it.each([
  ["ls", "repeatable"],
  ["read_file", "repeatable"],
  ["glob", "repeatable"],
  ["grep", "repeatable"],
  ["write_file", "repeatable"],
  ["delete", "repeatable"],
  ["edit_file", "once"],
  ["execute", "once"],
  ["task", "graph"],
  ["write_todos", "graph"],
])("knows %s: %s", (name, expected) => {
  expect(isOwnTool(name)).toBe(true);
  expect(classOf({ name })).toBe(expected);
  expect(hinted(name, { readOnlyHint: true })).toBe(expected);
});

it("believes another tool's hints, and repeats none without", () => {
  expect(hinted("get", { readOnlyHint: true })).toBe("repeatable");
  expect(hinted("put", { readOnlyHint: false, idempotentHint: true })).toBe("repeatable");
  expect(hinted("post", { destructiveHint: false, openWorldHint: true })).toBe("once");
  expect(hinted("post", { readOnlyHint: "true" })).toBe("once");
  for (const none of [undefined, null, {}, "readOnlyHint"]) expect(hinted("post", none)).toBe("once");
  expect(classOf({ name: "post" })).toBe("once");
  for (const name of ["constructor", "toString", "__proto__"]) {
    expect(isOwnTool(name)).toBe(false);
    expect(classOf({ name })).toBe("once");
  }
});
