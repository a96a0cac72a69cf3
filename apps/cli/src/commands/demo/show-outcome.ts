import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Paint } from "../../output/colors.ts";
import { plainText } from "../../output/plain-text.ts";
import { diffTrees } from "./diff-trees.ts";
import type { Example } from "./example.ts";

export interface OutcomeOptions {
  readonly example: Example;
  readonly workspaceDir: string;
  readonly paint: Paint;
}

/** Where the report is, and what the agent changed, judged by the files alone. */
export async function showOutcome({ example, workspaceDir, paint }: OutcomeOptions): Promise<string> {
  const report = join(workspaceDir, example.report);
  const { files, patch } = await diffTrees(example.project, workspaceDir, [example.report]);
  return [
    "",
    `Report: ${existsSync(report) ? report : "the agent wrote none"}`,
    files.length === 0 ? "Changes: none" : `Changes: ${files.join(", ")}`,
    ...(patch === ""
      ? []
      : [
          "",
          ...plainText(patch)
            .trimEnd()
            .split("\n")
            .map((line) => paintDiffLine(line, paint)),
        ]),
  ].join("\n");
}

function paintDiffLine(line: string, paint: Paint): string {
  if (/^(---|\+\+\+) /.test(line)) return paint("bold", line);
  if (line.startsWith("@@")) return paint("cyan", line);
  if (line.startsWith("+")) return paint("green", line);
  return line.startsWith("-") ? paint("red", line) : line;
}
