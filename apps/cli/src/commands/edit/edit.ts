import { clone, equals } from "@bufbuild/protobuf";
import { ClientError, type StigmerClient } from "@stigmer/client";
import { openSkillArchive } from "@stigmer/skills";
import type { Skill } from "@stigmer/protos/skill/v1";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { type Manifest, manifestKinds, type ManifestKind } from "../../manifests/manifest.ts";
import { schemaComment } from "../../manifests/schema-url.ts";
import { writeLine } from "../../output/write.ts";
import { toYaml } from "../../output/yaml.ts";
import { type CliKind, findKind, findResource, nameOf, type Resource } from "../../resources/kinds.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { type EditedFile, openEditedFile } from "./edited-file.ts";
import { readEdited } from "./read-edited.ts";
import { saveEdited } from "./save-edited.ts";

export interface EditOptions {
  readonly kind: string;
  readonly nameOrId: string;
}

/**
 * Opens a resource in the user's editor, again and again until what is saved is right, and sends it unless nothing was
 * changed. What somebody else changed meanwhile is not overwritten. When it fails the file is kept, and named.
 */
export async function edit({ kind: kindName, nameOrId }: EditOptions, io: CommandIo): Promise<void> {
  const kind = findKind(kindName);
  requireEditable(kind);
  await withClient(io, async ({ client }) => {
    const resource = await findResource(client, kind, nameOrId);
    if (kind.kind === "Skill") await refuseFolder(client, resource as Skill);
    const shown = `${kind.names[0]} ${nameOf(kind, resource)}`;
    const file = await openEditedFile(
      `${kind.names[0]}-${resource.metadata?.slug ?? "x"}.yaml`,
      textOf(kind, resource),
    );
    try {
      const edited = await editUntilRight({ client, kind, resource, file }, io);
      await file.remove();
      writeLine(io.stdout, edited ? `${shown} edited` : `${shown} is left as it is: nothing was changed`);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!(await file.isChanged())) {
        await file.remove();
        throw error;
      }
      throw new CliError("failed", `${message}\nNothing was saved. Your text is kept in ${file.path}`, {
        cause: error,
      });
    }
  });
}

function requireEditable(kind: CliKind): asserts kind is CliKind & { kind: ManifestKind } {
  if ((manifestKinds as readonly string[]).includes(kind.kind)) return;
  throw new CliError("usage", `a ${kind.names[0]} can't be edited: it is a record of what happened`);
}

/** The text of SKILL.md alone would take the place of all its files. */
async function refuseFolder(client: StigmerClient, { metadata, status }: Skill): Promise<void> {
  const archive = await openSkillArchive(await client.skills.getArtifact(status?.artifactStorageKey ?? ""));
  if (archive.files.length <= 1) return;
  const text = `skill ${metadata?.slug} has ${archive.files.length} files, and only SKILL.md could be edited here`;
  throw new CliError("failed", `${text}: change its folder and \`stigmer skill push\` it`);
}

/** What can be changed, and the version that it is based on. */
function textOf(kind: CliKind & { kind: ManifestKind }, resource: Resource): string {
  const shown = clone(kind.schema, resource) as Resource;
  Reflect.deleteProperty(shown, "status");
  return `${schemaComment(kind.kind)}\n${toYaml(kind.schema, shown)}`;
}

interface Editing {
  readonly client: StigmerClient;
  readonly kind: CliKind & { kind: ManifestKind };
  readonly resource: Resource;
  readonly file: EditedFile;
}

/** False when there is nothing to send. */
async function editUntilRight({ client, kind, resource, file }: Editing, io: CommandIo): Promise<boolean> {
  for (;;) {
    const text = await file.edit(io);
    if (text === undefined) return false;
    const read = readEdited(text, resource, kind);
    if (!read.ok) {
      await file.complain(read.problems);
      continue;
    }
    if (saysTheSame(kind, read.manifest, resource)) return false;
    try {
      await saveEdited(client, read.manifest, resource);
      return true;
    } catch (error) {
      // What the server does not take can be mended; that somebody was faster, or that it is away, can't be here.
      if (!ClientError.is(error) || !["invalid-argument", "not-found"].includes(error.code)) throw error;
      await file.complain([{ message: error.message }]);
    }
  }
}

function saysTheSame(kind: CliKind, { message }: Manifest, resource: Resource): boolean {
  const next = clone(kind.schema, message) as Resource;
  const before = clone(kind.schema, resource) as Resource;
  for (const each of [next, before]) Reflect.deleteProperty(each, "status");
  return equals(kind.schema, next, before);
}
