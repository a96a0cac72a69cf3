import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { lastWords } from "./last-words.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "stigmer-words-"));
});
afterAll(() => rm(directory, { recursive: true }));

const uncaught = `file:///a.js:1
throw new Error("boom")
^

Error: boom
    at file:///a.js:1:7 {
  code: 'X'
}

Node.js v24.1.0
`;

test.each([
  ["an uncaught error's line, not its stack", uncaught, "Error: boom"],
  ["an error with a code", "TypeError [ERR_X]: bad\n    at a\n", "TypeError [ERR_X]: bad"],
  ["else the last line", "one\ntwo\n\n", "two"],
  ["of a line of JSON its message", '{"level":"error","msg":"no disk"}\n', "no disk"],
  ["a line that only looks like JSON", "{oops\n", "{oops"],
  ["JSON without a message", '{"a":1}\n', '{"a":1}'],
  ["nothing of nothing", "", ""],
  ["no more than a line's worth", "x".repeat(20_000), "x".repeat(300)],
])("are %s", (_, text, expected) => {
  const file = join(directory, "log");
  writeFileSync(file, `Error: of an earlier start\n${text}`);
  expect(lastWords(file, "Error: of an earlier start\n".length)).toBe(expected);
});

test("of a log that is gone are none", () => {
  expect(lastWords(join(directory, "nowhere"), 0)).toBe("");
});
