import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadDotEnv } from "./load-dot-env.ts";

let folder: string;
let cwd: string;
let entryDir: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stigmer-dotenv-"));
  cwd = join(folder, "cwd");
  entryDir = join(folder, "entry");
  mkdirSync(cwd);
  mkdirSync(entryDir);
});
afterEach(() => rmSync(folder, { recursive: true }));

test("the working directory goes before the entry point's folder, and only one file is read", () => {
  writeFileSync(join(entryDir, ".env"), "A=entry\nB=entry\n");
  const first: Record<string, string | undefined> = {};
  expect(loadDotEnv({ cwd, entryDir, env: first })).toBe(join(entryDir, ".env"));
  expect(first).toEqual({ A: "entry", B: "entry" });

  writeFileSync(join(cwd, ".env"), "A=cwd\n");
  const second: Record<string, string | undefined> = {};
  expect(loadDotEnv({ cwd, entryDir, env: second })).toBe(join(cwd, ".env"));
  expect(second).toEqual({ A: "cwd" });
});

test("what is set stays, also when set to nothing", () => {
  writeFileSync(join(cwd, ".env"), "A=file\nB=file\nC=file\n");
  const env = { A: "mine", B: "" };
  loadDotEnv({ cwd, entryDir, env });
  expect(env).toEqual({ A: "mine", B: "", C: "file" });
});

test("silent when absent, and in production", () => {
  const env = { ENV: "production" };
  expect(loadDotEnv({ cwd, entryDir, env: {} })).toBeUndefined();
  writeFileSync(join(cwd, ".env"), "A=file\n");
  expect(loadDotEnv({ cwd, entryDir, env })).toBeUndefined();
  expect(env).toEqual({ ENV: "production" });
});

test("a folder of that name is passed over", () => {
  mkdirSync(join(cwd, ".env"));
  writeFileSync(join(entryDir, ".env"), "A=entry\n");
  expect(loadDotEnv({ cwd, entryDir, env: {} })).toBe(join(entryDir, ".env"));
});
