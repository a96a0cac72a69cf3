import { posix } from "node:path";
import type { SkillFinding } from "./finding.ts";
import { findReferences } from "./references.ts";

export interface LintedText {
  /** Relative to the skill. */
  readonly path: string;
  readonly markdown: string;
  /** The line of the file that the text begins on. */
  readonly firstLine: number;
}

/** Whether what the texts of a skill refer to is there, and near enough. The first text is that of SKILL.md. */
export function lintReferences(texts: readonly LintedText[], paths: readonly string[]): SkillFinding[] {
  const files = new Set(paths);
  const folders = new Set(paths.flatMap(foldersOf));
  const findings: SkillFinding[] = [];
  const near = new Set<string>();
  for (const [index, { path: file, markdown, firstLine }] of texts.entries()) {
    for (const { kind, target, line } of findReferences(markdown)) {
      const place = { file, line: line + firstLine - 1 };
      // Links are relative to their file, what is mentioned to the skill.
      const path = posix
        .normalize(kind === "link" ? posix.join(posix.dirname(file), target) : target)
        .replace(/\/$/, "");
      const found = files.has(path) || folders.has(path) || path === ".";
      if (kind === "mention") {
        if (found && index === 0) near.add(path);
        if (!found && index === 0) {
          const message = `${path} is named, and is not there${didYouMean(path, files)}`;
          findings.push({ severity: "warning", rule: "missing-file", ...place, message });
        }
      } else if (posix.isAbsolute(target) || path.startsWith("..")) {
        const message = `the link to ${target} leads out of the skill, where nobody has what it means: put the file in`;
        findings.push({ severity: "error", rule: "broken-link", ...place, message });
      } else if (!found) {
        const message = `the link to ${target} leads nowhere${didYouMean(path, files)}`;
        findings.push({ severity: "error", rule: "broken-link", ...place, message });
      } else if (index === 0) {
        near.add(path);
      } else if (files.has(path) && path !== "SKILL.md" && !isNear(path, near)) {
        const message = `${path} can be found through ${file} alone: name it in SKILL.md, from where agents look`;
        findings.push({ severity: "warning", rule: "deep-reference", ...place, message });
      }
    }
  }
  return findings;
}

function foldersOf(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

/** A folder that SKILL.md names stands for what is in it. */
function isNear(path: string, near: ReadonlySet<string>): boolean {
  return near.has(path) || foldersOf(path).some((folder) => near.has(folder));
}

function didYouMean(path: string, files: ReadonlySet<string>): string {
  const folded = path.toLowerCase();
  const same = [...files].find((file) => file.toLowerCase() === folded);
  const moved = [...files].find((file) => posix.basename(file) === posix.basename(path));
  const meant = same ?? moved;
  return meant === undefined ? ": add the file, or take the reference out" : `: did you mean ${meant}?`;
}
