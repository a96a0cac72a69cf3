import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { createPaint } from "./colors.ts";
import { durationBetween, formatDuration } from "./durations.ts";
import { createMask, oneLine, plainText } from "./plain-text.ts";
import { formatTable } from "./table.ts";

test.each([
  ["colours", "\u001b[31mred\u001b[0m", "red"],
  ["links and titles", "\u001b]8;;http://evil\u0007click\u001b]8;;\u0007\u001b]0;title\u0007", "click"],
  ["cursor movement", "a\u001b[2J\u001b[1;1Hb", "ab"],
  ["a bell, a backspace, a lone escape", "a\u0007b\u0008c\u001b", "a␇b␈c␛"],
  ["a carriage return that overwrites", "safe\rrm -rf", "safe␍rm -rf"],
  ["C1 controls and turned text", "a\u009bb\u202ec", "a␡b␡c"],
  ["nothing of honest text", "tab\tline\nnext\r\n✓ ü 漢", "tab\tline\nnext\n✓ ü 漢"],
])("plainText takes out %s", (_, text, expected) => {
  expect(plainText(text)).toBe(expected);
});

test("oneLine shortens to a line", () => {
  expect(oneLine("a\n\n b\tc")).toBe("a b c");
  expect(oneLine("x".repeat(20), 10)).toBe(`${"x".repeat(9)}…`);
});

test("a mask hides the longest value first and nothing as short as a digit", () => {
  const mask = createMask(["secret", "secret-longer", "1"]);
  expect(mask("1 secret-longer secret")).toBe("1 ******** ********");
});

test.each([
  [0, "0.0 s"],
  [-5, "0.0 s"],
  [349, "0.3 s"],
  [59_949, "59.9 s"],
  [59_950, "1 m 00 s"],
  [125_000, "2 m 05 s"],
  [3_720_000, "1 h 02 m"],
])("formatDuration(%i) is %s", (ms, expected) => {
  expect(formatDuration(ms)).toBe(expected);
});

test("a duration needs both ends", () => {
  expect(durationBetween("2026-01-01T00:00:00Z", "2026-01-01T00:00:01.5Z")).toBe(1500);
  expect(durationBetween("2026-01-01T00:00:00Z", "")).toBeUndefined();
});

test("a table is as wide as its cells, and no cell breaks it", () => {
  expect(
    formatTable(
      ["NAME", "ID"],
      [
        ["a\nb", "1"],
        ["longer-name", "\u001b[31m22"],
      ],
    ),
  ).toBe("NAME          ID\na b           1\nlonger-name   22\n");
});

test.each([
  ["a terminal", true, {}, true],
  ["a terminal with NO_COLOR", true, { NO_COLOR: "1" }, false],
  ["a terminal with an empty NO_COLOR", true, { NO_COLOR: "" }, true],
  ["a dumb terminal", true, { TERM: "dumb" }, false],
  ["a pipe", false, {}, false],
  ["a pipe with FORCE_COLOR", false, { FORCE_COLOR: "1" }, true],
])("colours on %s", (_, isTTY, env, expected) => {
  const paint = createPaint(Object.assign(new PassThrough(), { isTTY }), env);
  expect(paint("red", "x") !== "x").toBe(expected);
});
