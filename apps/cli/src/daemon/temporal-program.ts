import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import type { Homes } from "@stigmer/config";

/** Temporal's command line: the one on PATH, else the one that was fetched; undefined when there is none. */
export async function findTemporalProgram(
  { binDir }: Pick<Homes, "binDir">,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  const folders = [...(env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== ""), binDir];
  for (const folder of folders) {
    const program = join(folder, "temporal");
    try {
      await access(program, constants.X_OK);
      return program;
    } catch {
      // The next one.
    }
  }
  return undefined;
}
