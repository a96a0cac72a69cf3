import { ClientError, type StigmerClient } from "@stigmer/client";
import type { CommandIo } from "../command-io.ts";
import { CliError } from "../errors.ts";
import { loadManifests } from "../manifests/load-manifests.ts";
import { writeLine } from "../output/write.ts";
import { findCurrent } from "../resources/find-current.ts";
import { type CliKind, findKind, findResource, isMissing, nameOf, type Resource } from "../resources/kinds.ts";
import { withClient } from "../server-connection/with-client.ts";

export interface DeleteOptions {
  /** With `names`; else `file` says what goes. */
  readonly kind?: string;
  readonly names: readonly string[];
  readonly file?: readonly string[];
  /** What is not there is as good as deleted. */
  readonly ignoreNotFound?: boolean;
  /** Take along what depends on it. */
  readonly force?: boolean;
}

/** One thing to delete; looked up when its turn comes, since those before it may take it along. */
interface Target {
  readonly kind: CliKind;
  find(client: StigmerClient): Promise<Resource>;
}

/** Deletes one after the other. What is refused is told, the others go all the same, and then the exit code is 1. */
export async function deleteResources(options: DeleteOptions, io: CommandIo): Promise<number> {
  const { ignoreNotFound = false, force = false } = options;
  const targets = await findTargets(options, io);
  return withClient(io, async ({ client }) => {
    let code = 0;
    for (const { kind, find } of targets) {
      try {
        const resource = await find(client);
        await kind.calls(client).delete(resource.metadata?.id ?? "", { force });
        writeLine(io.stdout, `${kind.names[0]} ${nameOf(kind, resource)} deleted`);
      } catch (error) {
        if (ignoreNotFound && isMissing(error)) continue;
        if (!CliError.is(error) && !(ClientError.is(error) && isAboutOne(error))) throw error;
        writeLine(io.stderr, error.message);
        code = 1;
      }
    }
    return code;
  });
}

/** Whether the server refused this one; else the next would fare no better. */
function isAboutOne({ code }: ClientError): boolean {
  return ["not-found", "failed-precondition", "permission-denied", "invalid-argument"].includes(code);
}

async function findTargets({ kind: kindName, names, file }: DeleteOptions, io: CommandIo): Promise<Target[]> {
  if (file === undefined) {
    if (kindName === undefined || names.length === 0) {
      throw new CliError("usage", "say what to delete: stigmer delete KIND NAME…, or stigmer delete -f FILE");
    }
    const kind = findKind(kindName);
    return [...new Set(names)].map((name) => ({ kind, find: (client) => findResource(client, kind, name) }));
  }
  if (kindName !== undefined)
    throw new CliError("usage", "a kind can't be used with --file, which says what to delete");
  const manifests = await loadManifests(file, io);
  // What refers to others goes first.
  return manifests.toReversed().map((manifest) => ({
    kind: findKind(manifest.kind),
    async find(client) {
      const current = await findCurrent(client, manifest);
      if (current !== undefined) return current;
      const { file, line } = manifest.document.problemAt([], "");
      throw new ClientError("not-found", `${file}:${line}: there is no ${manifest.kind} "${manifest.slug}"`);
    },
  }));
}
