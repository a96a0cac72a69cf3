import type { CommandIo } from "../../command-io.ts";
import { findKind, findResource } from "../../resources/kinds.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { commonSection } from "./common.ts";
import { layOut } from "./layout.ts";
import { sectionsOf } from "./sections.ts";

export interface DescribeOptions {
  readonly kind: string;
  readonly nameOrId: string;
}

/** Shows a resource for people: not to be read by programs, for which there is `get -o json`. */
export async function describe({ kind: kindName, nameOrId }: DescribeOptions, io: CommandIo): Promise<void> {
  const kind = findKind(kindName);
  await withClient(io, async ({ client }) => {
    const resource = await findResource(client, kind, nameOrId);
    const now = Date.now();
    io.stdout.write(layOut([commonSection(kind, resource, now), ...(await sectionsOf(resource, { client, now }))]));
  });
}
