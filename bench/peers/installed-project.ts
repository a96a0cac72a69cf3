import { createHash } from "node:crypto";
import { cp, glob, readFile } from "node:fs/promises";
import { basename } from "node:path";
import { keptFolder, runIn } from "../kept-folder.ts";

/** What the packages' own dependencies may be at most as new as: the same installation on every machine. */
const BEFORE = "2026-11-22";

/**
 * A peer's project as its user has it. Resolves with a folder that holds it and its packages, built where `build` says how. Throws,
 * with what npm said, when they can't be had.
 */
export async function installedProject(project: URL, build?: readonly [string, ...string[]]): Promise<string> {
  const name = basename(project.pathname);
  return keptFolder({ name, key: await fingerprint(project) }, async (folder) => {
    await cp(project, folder, { recursive: true });
    await runIn(folder, ["npm", "install", `--before=${BEFORE}`, "--ignore-scripts", "--no-audit", "--no-fund"]);
    if (build) await runIn(folder, build);
  }).catch((cause: unknown) => {
    throw new Error(`${name} can't be measured: npm can't install it. ${(cause as Error).message}`, { cause });
  });
}

/** Of all that the project says itself: another version is another folder. */
async function fingerprint(project: URL): Promise<string> {
  const hash = createHash("sha256").update(BEFORE).update(process.version);
  const files = await Array.fromAsync(glob("**/*.{js,json}", { cwd: project.pathname }));
  for (const file of files.toSorted()) hash.update(file).update(await readFile(new URL(file, `${project.href}/`)));
  return hash.digest("hex");
}
