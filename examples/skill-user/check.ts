import assert from "node:assert/strict";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";

const input = join(import.meta.dirname, "workspace");

/** The question that `scenario.yaml` answers; a real model answers it too. */
export const message = "Write the release notes for the changes in CHANGES.txt.";

/** Copies the list of changes into an empty workspace. */
export function prepare(workspaceDir: string): void {
  cpSync(input, workspaceDir, { recursive: true });
}

/**
 * Holds the notes against every rule of the skill that a program can judge, starting from the list of changes.
 * @throws {assert.AssertionError}
 */
export function check(workspaceDir: string, output: string): void {
  const changes = readFileSync(join(input, "CHANGES.txt"), "utf8");
  assert.equal(readFileSync(join(workspaceDir, "CHANGES.txt"), "utf8"), changes, "the input is as it was");
  const notes = readFileSync(join(workspaceDir, "RELEASE_NOTES.md"), "utf8");

  const field = (name: string): string => new RegExp(`^${name}: (.+)$`, "m").exec(changes)?.[1] ?? "";
  const lines = notes.split("\n");
  assert.deepEqual(lines.slice(0, 3), [`# ${field("product")} ${field("version")}`, "", `Released ${field("date")}.`]);

  const expected = sectionsOf(changes);
  const headings = lines.filter((line) => line.startsWith("#")).slice(1);
  assert.deepEqual(headings, [...expected.keys()], "the sections, in their order");
  for (const [heading, numbers] of expected) {
    const start = lines.indexOf(heading) + 1;
    const end = lines.findIndex((line, index) => index >= start && line.startsWith("#"));
    const entries = lines.slice(start, end < 0 ? undefined : end).filter((line) => line !== "");
    const found = entries.map((entry) => {
      assert.ok(entry.length <= 100, `at most 100 characters: ${entry}`);
      const match = /^- \S.* \(#(\d+)\)$/.exec(entry);
      assert.ok(match, `an entry is "- sentence (#number)": ${entry}`);
      return Number(match[1]);
    });
    assert.deepEqual(found, numbers, `the entries of ${heading}, lowest number first`);
  }
  for (const author of changes.matchAll(/\((\w+)\)$/gm))
    assert.ok(!notes.includes(String(author[1])), "no names of people");
  const count = [...expected.values()].flat().length;
  assert.match(output, new RegExp(`\\b${count}\\b`), `the answer says how many entries there are: ${count}`);
}

/** Which change belongs where, by the skill's rules. */
function sectionsOf(changes: string): Map<string, number[]> {
  const entries = [...changes.matchAll(/^#(\d+) (\w+)(?:\(\w+\))?(!)?: (.*)$/gm)].map(
    ([, number, type = "", breaking, text = ""]) => ({
      number: Number(number),
      type,
      breaking: breaking !== undefined,
      reverts: Number(/\(#(\d+)\)/.exec(text)?.[1]),
    }),
  );
  const reverted = new Set(entries.filter(({ type }) => type === "revert").map(({ reverts }) => reverts));
  const kept = entries.filter(({ number, type }) => type !== "revert" && !reverted.has(number));
  const numbers = (wanted: (entry: (typeof kept)[number]) => boolean): number[] =>
    kept
      .filter(wanted)
      .map(({ number }) => number)
      .sort((a, b) => a - b);
  const sections: [string, number[]][] = [
    ["## Breaking changes", numbers((entry) => entry.breaking)],
    ["## New", numbers((entry) => !entry.breaking && entry.type === "feat")],
    ["## Fixed", numbers((entry) => !entry.breaking && /^(fix|perf)$/.test(entry.type))],
  ];
  return new Map(sections.filter(([, entries]) => entries.length > 0));
}
