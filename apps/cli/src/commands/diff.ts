import { clone, type DescMessage } from "@bufbuild/protobuf";
import { createTwoFilesPatch } from "diff";
import type { CommandIo } from "../command-io.ts";
import { loadManifests } from "../manifests/load-manifests.ts";
import { type Paint, createPaint } from "../output/colors.ts";
import { plainText } from "../output/plain-text.ts";
import { writeLine } from "../output/write.ts";
import { toYaml } from "../output/yaml.ts";
import { parseSetName } from "../resources/apply-set.ts";
import { findKind, type Resource } from "../resources/kinds.ts";
import { planChanges, type PlannedChange } from "../resources/plan-changes.ts";
import { withClient } from "../server-connection/with-client.ts";

export interface DiffOptions {
  /** Files, folders, or `-` for standard input. */
  readonly file: readonly string[];
  /** As it would be given to `apply`. */
  readonly set?: string;
}

/** Exit codes as those of `diff` and `kubectl diff`: trouble must not be taken for a difference. */
const DIFFERENT = 1;
const TROUBLE = 2;

/** Shows what `apply` would change. */
export async function diff({ file, set }: DiffOptions, io: CommandIo): Promise<number> {
  try {
    if (set !== undefined) parseSetName(set);
    const manifests = await loadManifests(file, io);
    const { changes } = await withClient(io, ({ client }) => planChanges(client, manifests, { set }));
    const paint = createPaint(io.stdout, io.env);
    for (const change of changes) {
      if (change.change !== "unchanged") io.stdout.write(paintPatch(patchOf(change), paint));
      if (change.mayChangeSecrets) {
        writeLine(io.stderr, `The values of the secrets of ${nameOf(change)} are not compared: nobody can see them.`);
      }
    }
    return changes.some(({ change }) => change !== "unchanged") ? DIFFERENT : 0;
  } catch (error) {
    writeLine(io.stderr, error instanceof Error ? error.message : String(error));
    return TROUBLE;
  }
}

const nameOf = ({ manifest: { kind, slug } }: PlannedChange): string => `${kind} ${slug}`;

function patchOf(change: PlannedChange): string {
  const { manifest, current, wanted } = change;
  const { schema } = findKind(manifest.kind);
  const { file, line } = manifest.document.problemAt([], "");
  const from = current === undefined ? "" : textOf(schema, current);
  const patch = createTwoFilesPatch(
    current === undefined ? "/dev/null" : `server: ${nameOf(change)}`,
    `${file}:${line}: ${nameOf(change)}`,
    from,
    textOf(schema, wanted),
  );
  return plainText(patch.replace(/^=+\n/, ""));
}

/** What people decide about; and of a skill which archive it is, since files may differ where the text does not. */
function textOf(schema: DescMessage, resource: Resource): string {
  const shown = clone(schema, resource) as Resource & { status?: { versionHash?: string } };
  const versionHash = shown.status?.versionHash;
  Reflect.deleteProperty(shown, "status");
  if (shown.metadata !== undefined) shown.metadata.version = undefined;
  return toYaml(schema, shown) + (versionHash ? `status:\n  versionHash: ${versionHash}\n` : "");
}

function paintPatch(patch: string, paint: Paint): string {
  return patch
    .split("\n")
    .map((line) => {
      if (/^(---|\+\+\+) /.test(line)) return paint("bold", line);
      if (line.startsWith("@@")) return paint("cyan", line);
      if (line.startsWith("+")) return paint("green", line);
      return line.startsWith("-") ? paint("red", line) : line;
    })
    .join("\n");
}
