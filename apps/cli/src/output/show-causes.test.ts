import { expect, test } from "vitest";
import { showCauses } from "./show-causes.ts";

test("tells each cause once, of several at once each, and where the deepest came from", () => {
  const deepest = Object.assign(new Error("refused\u001b[31m"), { code: "ECONNREFUSED" });
  const several = new AggregateError([new Error("first"), deepest], "both");
  const error = new Error("shown already", { cause: several });
  Object.assign(deepest, { cause: error });
  const lines = showCauses(error, {}).split("\n");
  expect(lines.slice(0, 3)).toEqual([
    "Caused by AggregateError: both",
    "Caused by Error: first",
    "Caused by Error (ECONNREFUSED): refused",
  ]);
  expect(lines[3]).toMatch(/^ {4}at .*show-causes\.test\.ts/);
});

test.each<[string, Record<string, string>, string]>([
  ["a value of the environment", { MY_TOKEN: "hunter2-and-more" }, "it said hunter2-and-more"],
  ["a key that is known", { STIGMER_LLM_API_KEY: "abcdefgh" }, "key abcdefgh"],
  ["a key by its look", {}, "key stk_0123456789abcdef"],
  ["a bearer", {}, "Authorization: Bearer whatever-it-is"],
  ["a password in an address", {}, "postgres://me:open-sesame@localhost/x"],
])("strikes out %s", (_, env, message) => {
  const text = showCauses(new Error("outer", { cause: new Error(message) }), env);
  expect(text.split("\n")[0]).toContain("********");
  for (const secret of ["hunter2", "abcdefgh", "0123456789", "whatever", "open-sesame"])
    expect(text).not.toContain(secret);
});
