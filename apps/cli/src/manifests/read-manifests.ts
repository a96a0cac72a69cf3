import { agenticApiVersion } from "@stigmer/protos";
import { type Manifest, looksLikeManifest, manifestKinds, readManifest } from "./manifest.ts";
import type { ManifestFile } from "./find-files.ts";
import { type ManifestProblem, refuse } from "./problems.ts";
import { readDocuments } from "./read-documents.ts";

export interface Manifests {
  /** In the order they are to be applied. */
  readonly manifests: readonly Manifest[];
  /** Files of a folder that are no manifests. */
  readonly ignored: readonly string[];
}

/** Checks every document of every file. Throws a `CliError` with all problems when there is one: then nothing is sent. */
export function readManifests(files: readonly ManifestFile[]): Manifests {
  const { problems, ...rest } = checkManifests(files);
  if (problems.length > 0) throw refuse(problems);
  return rest;
}

/** As `readManifests`, with the problems beside what is right. */
export function checkManifests(files: readonly ManifestFile[]): Manifests & { readonly problems: ManifestProblem[] } {
  const problems: ManifestProblem[] = [];
  const manifests: Manifest[] = [];
  const ignored: string[] = [];
  for (const { name, text, named } of files) {
    const read = readDocuments(text, name);
    if (!read.ok) {
      problems.push(...read.problems);
    } else if (!named && !read.documents.some(looksLikeManifest)) {
      ignored.push(name);
    } else if (read.documents.length === 0) {
      problems.push({
        file: name,
        path: "",
        message: `has no manifest: it is empty. One begins with apiVersion: ${agenticApiVersion}`,
      });
    }
    for (const document of read.ok && !ignored.includes(name) ? read.documents : []) {
      const result = readManifest(document);
      if (result.ok) manifests.push(result.manifest);
      else problems.push(...result.problems);
    }
  }
  problems.push(...duplicates(manifests));
  const rank = ({ kind }: Manifest): number => manifestKinds.indexOf(kind);
  return { manifests: manifests.sort((a, b) => rank(a) - rank(b)), ignored, problems };
}

/** Two manifests of one resource: the second would silently undo the first. */
function duplicates(manifests: readonly Manifest[]): ManifestProblem[] {
  const first = new Map<string, Manifest>();
  return manifests.flatMap((manifest) => {
    const { kind, slug, document, message } = manifest;
    const key = `${kind}/${message.metadata?.org || "local"}/${slug}`;
    const before = first.get(key);
    if (before === undefined) {
      first.set(key, manifest);
      return [];
    }
    const { file, line } = before.document.problemAt(["metadata", "name"], "");
    return [document.problemAt(["metadata", "name"], `${kind} ${slug} is also in ${file}:${line}`)];
  });
}
