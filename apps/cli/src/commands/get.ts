import type { CommandIo } from "../command-io.ts";
import { type OutputFormat, showResource, showResources } from "../output/show-resources.ts";
import { findKind, findResource, listResources } from "../resources/kinds.ts";
import { withClient } from "../server-connection/with-client.ts";

export interface GetOptions {
  readonly kind: string;
  /** Absent: all of that kind. */
  readonly nameOrId?: string;
  readonly output: OutputFormat;
}

export async function get(options: GetOptions, io: CommandIo): Promise<void> {
  const kind = findKind(options.kind);
  const show = { format: options.output, now: Date.now() };
  await withClient(io, async ({ client }) => {
    if (options.nameOrId !== undefined) {
      io.stdout.write(showResource(kind, await findResource(client, kind, options.nameOrId), show));
      return;
    }
    const resources = await listResources(client, kind);
    if (resources.length === 0 && options.output === "table") io.stderr.write(`There is no ${kind.names[0]} yet.\n`);
    else io.stdout.write(showResources(kind, resources, show));
  });
}
