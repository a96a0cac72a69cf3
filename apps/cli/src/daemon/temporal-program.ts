import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import type { Homes } from "@stigmer/config";

/** Temporal's command line: the one on PATH, else the one that was fetched; undefined when there is none. */
export async function findTemporalProgram(
  { binDir }: Pick<Homes, "binDir">,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  return firstProgram([...onPath("temporal", env), join(binDir, "temporal")]);
}

/** Where a program may be that is called by its name alone. */
export function onPath(name: string, env: Readonly<Record<string, string | undefined>>): string[] {
  const folders = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  return folders.map((folder) => join(folder, name));
}

/** The first of them that can be run. */
export async function firstProgram(candidates: readonly string[]): Promise<string | undefined> {
  for (const candidate of candidates) {
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // The next one.
    }
  }
  return undefined;
}
