import { readVersion } from "../version.ts";
import type { ManifestKind } from "./manifest.ts";

/** The comment by which editors find the schema of a manifest: completion, hints and mistakes while one types. */
export function schemaComment(kind: ManifestKind): string {
  const version = readVersion();
  // A build from source is no published version: the newest is the nearest.
  const published = version === "0.0.0" ? "" : `@${version}`;
  return `# yaml-language-server: $schema=https://unpkg.com/@stigmer/protos${published}/schemas/${kind.toLowerCase()}.json`;
}
