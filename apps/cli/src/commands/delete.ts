import type { CommandIo } from "../command-io.ts";
import { findKind, findResource } from "../resources/kinds.ts";
import { withClient } from "../server-connection/with-client.ts";

export interface DeleteOptions {
  readonly kind: string;
  readonly nameOrId: string;
}

export async function deleteResource({ kind: kindName, nameOrId }: DeleteOptions, io: CommandIo): Promise<void> {
  const kind = findKind(kindName);
  await withClient(io, async ({ client }) => {
    const { metadata } = await findResource(client, kind, nameOrId);
    await kind.calls(client).delete(metadata?.id ?? "");
    io.stdout.write(`${kind.names[0]} ${kind.named ? metadata?.slug : metadata?.id} deleted\n`);
  });
}
