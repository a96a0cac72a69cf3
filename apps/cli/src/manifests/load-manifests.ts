import type { CommandIo } from "../command-io.ts";
import { CliError } from "../errors.ts";
import { writeLine } from "../output/write.ts";
import { findFiles, type ManifestFile } from "./find-files.ts";
import type { Manifest } from "./manifest.ts";
import { readManifests } from "./read-manifests.ts";

/** The files that `-f` names, each one once. */
export async function loadFiles(paths: readonly string[], io: CommandIo): Promise<ManifestFile[]> {
  return (await Promise.all([...new Set(paths)].map((path) => findFiles(path, io)))).flat();
}

/** The manifests of the files that `-f` names. Throws a `CliError` with everything that is wrong with them. */
export async function loadManifests(paths: readonly string[], io: CommandIo): Promise<readonly Manifest[]> {
  const { manifests, ignored } = readManifests(await loadFiles(paths, io));
  for (const name of ignored) writeLine(io.stderr, `${name} is left out: it has neither apiVersion nor kind`);
  if (manifests.length === 0) throw new CliError("failed", `${paths.join(", ")} has no manifest`);
  return manifests;
}
