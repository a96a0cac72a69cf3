import { type Manifest, type ManifestKind, readManifest } from "../../manifests/manifest.ts";
import type { ManifestProblem } from "../../manifests/problems.ts";
import { type ManifestDocument, readDocuments } from "../../manifests/read-documents.ts";
import type { CliKind, Resource } from "../../resources/kinds.ts";
import type { EditProblem } from "./edited-file.ts";

export type EditedResult =
  | { readonly ok: true; readonly manifest: Manifest }
  | { readonly ok: false; readonly problems: readonly EditProblem[] };

/** Reads what the user made of a resource: one manifest, and still of that resource. */
export function readEdited(text: string, before: Resource, { kind }: CliKind & { kind: ManifestKind }): EditedResult {
  const read = readDocuments(text, "");
  if (!read.ok) return refused(read.problems);
  const [document, second] = read.documents;
  if (document === undefined) return { ok: false, problems: [{ message: "there is no manifest in it" }] };
  if (second !== undefined) return refused([second.problemAt([], "only one resource is edited: move this elsewhere")]);
  const result = readManifest(document);
  if (!result.ok) return refused(result.problems);
  const { manifest } = result;
  const strayed = [
    ...(manifest.kind === kind ? [] : [document.problemAt(["kind"], `can't be changed from ${kind}`)]),
    ...checkIdentity(document, manifest, before),
  ];
  return strayed.length > 0 ? refused(strayed) : { ok: true, manifest };
}

/** What makes it this resource and, in the version, what it was when it was read. */
function checkIdentity(document: ManifestDocument, { message }: Manifest, before: Resource): ManifestProblem[] {
  const problems: ManifestProblem[] = [];
  const require = (path: readonly string[], is: string | undefined, was: string | undefined): void => {
    if ((is ?? "") !== (was ?? ""))
      problems.push(document.problemAt(["metadata", ...path], `can't be changed from ${was}`));
  };
  require(["id"], message.metadata?.id, before.metadata?.id);
  require(["org"], message.metadata?.org, before.metadata?.org);
  require(["version", "id"], message.metadata?.version?.id, before.metadata?.version?.id);
  if (message.metadata?.ownerScope !== before.metadata?.ownerScope) {
    problems.push(document.problemAt(["metadata", "ownerScope"], "can't be changed"));
  }
  return problems;
}

function refused(problems: readonly ManifestProblem[]): EditedResult {
  const toEditProblem = ({ line, path, message }: ManifestProblem): EditProblem => ({
    line,
    message: path === "" ? message : `${path}: ${message}`,
  });
  return { ok: false, problems: problems.map(toEditProblem) };
}
