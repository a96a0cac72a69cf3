import fc from "fast-check";
import { expect, test } from "vitest";
import { SandboxError } from "./errors.ts";
import { joinPath, toRelativePath } from "./paths.ts";

const roots = ["/srv/box", "/link/box"];
const codeOf = (path: string): string => {
  try {
    return `ok:${toRelativePath(path, roots)}`;
  } catch (error) {
    return SandboxError.is(error) ? error.code : "foreign";
  }
};

test.each([
  ["a/b", "ok:a/b"],
  ["./a//b/", "ok:a/b"],
  ["a/../b", "ok:b"],
  ["", "ok:"],
  [".", "ok:"],
  ["/", "ok:"],
  ["/srv/box", "ok:"],
  ["/srv/box/a", "ok:a"],
  ["/link/box/a", "ok:a"],
  ["/srv/boxes/a", "ok:srv/boxes/a"],
  ["/etc/passwd", "ok:etc/passwd"],
  ["..", "outside-root"],
  ["a/../../b", "outside-root"],
  ["/..", "outside-root"],
  ["/srv/box/../secret", "outside-root"],
  ["a\0b", "invalid-argument"],
])("%j is %s", (path, expected) => {
  expect(codeOf(path)).toBe(expected);
});

test("what comes out is a path without detours, and goes through unchanged", () => {
  const part = fc.constantFrom("a", "b.txt", "..", ".", "", "ü", "...");
  fc.assert(
    fc.property(fc.array(part), fc.boolean(), (parts, absolute) => {
      const result = codeOf(`${absolute ? "/" : ""}${parts.join("/")}`);
      if (result === "outside-root") return;
      const path = result.slice("ok:".length);
      expect(path.split("/")).not.toContain("..");
      expect(path.startsWith("/")).toBe(false);
      expect(toRelativePath(path, roots)).toBe(path);
      expect(toRelativePath(joinPath("/srv/box", path), roots)).toBe(path);
    }),
  );
});
