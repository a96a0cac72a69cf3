import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { makeDirectory } from "./make-directory.ts";

test("makes what is missing, and leaves what is there", () => {
  const root = mkdtempSync(join(tmpdir(), "stigmer-directory-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const path = join(root, "a/b/c");
  makeDirectory(path);
  makeDirectory(path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(statSync(join(root, "a")).mode & 0o777).toBe(0o700);

  writeFileSync(join(root, "file"), "");
  expect(() => makeDirectory(join(root, "file/below"))).toThrow("ENOTDIR");
});

test.runIf(process.platform === "linux")("says so where nobody can make one", () => {
  expect(() => makeDirectory("/proc/stigmer/run")).toThrow("ENOENT");
});
