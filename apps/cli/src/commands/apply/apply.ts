import type { CommandIo } from "../../command-io.ts";
import { findFiles } from "../../manifests/find-files.ts";
import { readManifests } from "../../manifests/read-manifests.ts";
import { CliError } from "../../errors.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { applyManifests } from "./apply-manifests.ts";

export interface ApplyOptions {
  /** Files, folders, or `-` for standard input. */
  readonly file: readonly string[];
}

/** Checks every document of every file before it sends the first. */
export async function apply({ file: paths }: ApplyOptions, io: CommandIo): Promise<void> {
  const files = await Promise.all([...new Set(paths)].map((path) => findFiles(path, io)));
  const { manifests, ignored } = readManifests(files.flat());
  for (const name of ignored) io.stderr.write(`${name} is left out: it has neither apiVersion nor kind\n`);
  if (manifests.length === 0) throw new CliError("failed", `${paths.join(", ")} has no manifest`);
  await withClient(io, async ({ client }) => {
    await applyManifests(client, manifests, ({ kind, slug, id }) =>
      io.stdout.write(`${kind} ${slug} applied (${id})\n`),
    );
  });
}
