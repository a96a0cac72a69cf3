import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const project = join(import.meta.dirname, "project");

/** The question that `scenario.yaml` answers; a real model answers it too. */
export const message = "Fix the failing test and write a report.";

/** Copies the project, which the run changes. */
export function prepare(workspaceDir: string): void {
  cpSync(project, workspaceDir, { recursive: true });
}

/**
 * Judges the outcome without believing the agent: runs the tests itself, on the project as it was and as it is now.
 * @throws {assert.AssertionError}
 */
export function check(workspaceDir: string, output: string): void {
  const before = asItWas();
  const after = runTests(workspaceDir);
  assert.equal(before.failed, 1, "the bundled project has exactly one failing test");
  assert.equal(after.failed, 0, "no test fails any more");
  assert.equal(after.tests, before.tests, "no test was added or removed");

  const tests = (root: string): string[] => readdirSync(join(root, "test")).sort();
  assert.deepEqual(tests(workspaceDir), tests(project));
  for (const file of tests(project)) {
    assert.equal(read(workspaceDir, "test", file), read(project, "test", file), `test/${file} is unchanged`);
  }
  const changed = readdirSync(join(project, "src")).filter(
    (file) => read(workspaceDir, "src", file) !== read(project, "src", file),
  );
  assert.deepEqual(changed, ["discount.js"], "only the file with the bug was changed");

  const report = read(workspaceDir, "REPORT.md");
  assert.match(report, /^# Fix: \S/);
  assert.deepEqual(report.match(/^## .+$/gm), ["## Symptom", "## Cause", "## Fix", "## Evidence"]);
  assert.ok(report.includes(`\`${before.failing}\``), `the report names the failing test \`${before.failing}\``);
  assert.match(report, /```diff\n-.+\n\+.+\n```/);
  for (const [name, run] of Object.entries({ before, after })) {
    assert.ok(
      report.includes(`| ${name} | ${run.tests} | ${run.passed} | ${run.failed} |`),
      `figures of the run ${name}`,
    );
  }
  assert.ok(report.split("\n").length < 40, "the report is short");
  assert.match(output, /discount\.js/);
}

interface TestRun {
  readonly tests: number;
  readonly passed: number;
  readonly failed: number;
  readonly failing: string | undefined;
}

function asItWas(): TestRun {
  const copy = mkdtempSync(join(tmpdir(), "repo-doctor-"));
  try {
    prepare(copy);
    return runTests(copy);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function runTests(directory: string): TestRun {
  // An empty environment: a test runner around this one must not leak into it.
  const { stdout, error } = spawnSync(process.execPath, ["--test", "--test-reporter=tap"], {
    cwd: directory,
    env: {},
    encoding: "utf8",
  });
  assert.ifError(error ?? null);
  const figure = (name: string): number => Number(new RegExp(`^# ${name} (\\d+)$`, "m").exec(stdout)?.[1]);
  return {
    tests: figure("tests"),
    passed: figure("pass"),
    failed: figure("fail"),
    failing: /^not ok \d+ - (.+)$/m.exec(stdout)?.[1],
  };
}

function read(...parts: string[]): string {
  return readFileSync(join(...parts), "utf8");
}
