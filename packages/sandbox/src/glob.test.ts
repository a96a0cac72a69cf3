import { matchesGlob } from "node:path/posix";
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseGlob } from "./glob.ts";

const matches = (pattern: string, path: string, dot = false): boolean => parseGlob(pattern, { dot }).matches(path);

test.each([
  ["*.ts", "a.ts", true],
  ["*.ts", "a/b.ts", false],
  ["**/*.ts", "a.ts", true],
  ["**/*.ts", "a/b/c.ts", true],
  ["a/**", "a/b/c", true],
  ["a/**", "a", false],
  ["a/**/b", "a/b", true],
  ["a/**/b", "a/x/y/b", true],
  ["/a/./*", "a/b", true],
  ["a?c", "a😀c", true],
  ["a?c", "ac", false],
  ["[a-c]x", "bx", true],
  ["[!a-c]x", "bx", false],
  ["[^a]x", "bx", true],
  ["[]]x", "]x", true],
  ["[a", "[a", true],
  ["[a-]", "-", true],
  ["{a,b/c}.ts", "b/c.ts", true],
  ["{a,{b,c}}{1,2}", "c2", true],
  ["{a}", "{a}", true],
  ["{a,b", "{a,b", true],
  ["\\*", "*", true],
  ["\\*", "a", false],
  ["\\{a,b}", "{a,b}", true],
  ["*", ".a", false],
  ["[.]a", ".a", false],
  [".*", ".a", true],
  ["**/x", ".a/x", false],
  [".a/**/x", ".a/b/x", true],
  ["**/.h/**/b", "x/.h/y/b", true],
  ["(a|b)", "(a|b)", true],
  ["$^+", "$^+", true],
])("%s on %s: %s", (pattern, path, expected) => {
  expect(matches(pattern, path)).toBe(expected);
});

test("wildcards match hidden names where asked to", () => {
  expect(matches("**/*", ".a/.b", true)).toBe(true);
});

test("refuses what is empty, leads upwards, or has too many alternatives", () => {
  expect(() => parseGlob("", { dot: false })).toThrow(/empty/);
  expect(() => parseGlob("a/../b", { dot: false })).toThrow(/upwards/);
  expect(() => parseGlob("{.,..}/b", { dot: false })).toThrow(/upwards/);
  expect(() => parseGlob("{a,b}".repeat(30), { dot: false })).toThrow(/alternatives/);
});

const name = fc
  .string({ unit: fc.constantFrom("a", "b", ".", "-"), minLength: 1, maxLength: 5 })
  .filter((text) => !/^\.+$/.test(text));
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("/"));

test("agrees with Node", () => {
  const piece = fc.constantFrom("a", "b", "*", "?", "[ab]", "[!a]", "{a,b}", "-");
  const segment = fc.oneof(
    fc.constant("**"),
    fc.array(piece, { minLength: 1, maxLength: 4 }).map((pieces) => pieces.join("").replaceAll(/\*\*+/g, "*")),
  );
  const pattern = fc
    .array(segment, { minLength: 1, maxLength: 4 })
    .map((segments) => segments.join("/"))
    // On these, libraries differ among each other: whether `a/**` matches `a` itself.
    .filter((text) => !text.endsWith("**"));
  let matched = 0;
  fc.assert(
    fc.property(pattern, path, (pattern, path) => {
      const expected = matchesGlob(path, pattern);
      if (expected) matched++;
      expect(matches(pattern, path)).toBe(expected);
    }),
    { numRuns: 5000 },
  );
  expect(matched).toBeGreaterThan(100);
});

test("never leaves out a directory that holds a match", () => {
  fc.assert(
    fc.property(
      path,
      fc.constantFrom("**/a*", "a*/**", "*/*/*", "{a,b}*/**/*b", "**/-*/*"),
      fc.boolean(),
      (path, pattern, dot) => {
        const glob = parseGlob(pattern, { dot });
        if (!glob.matches(path)) return;
        for (let at = path.lastIndexOf("/"); at !== -1; at = path.lastIndexOf("/", at - 1)) {
          expect(glob.mayMatchBelow(path.slice(0, at))).toBe(true);
        }
      },
    ),
  );
});

test("looks only where something can be", () => {
  const glob = parseGlob("src/*/x.ts", { dot: false });
  expect(["src", "src/a", "lib", "src/a/b", "src/.a"].map((directory) => glob.mayMatchBelow(directory))).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});

test("the work grows with pattern times name", () => {
  const long = "a".repeat(5000);
  expect(matches(`${"*a".repeat(200)}c`, long)).toBe(false);
  expect(matches(`${"**/a/".repeat(50)}c`, `${"a/".repeat(500)}b`)).toBe(false);
});
