import { ClientError, type StigmerClient } from "@stigmer/client";
import type { CommandIo } from "../../command-io.ts";
import { writeLine } from "../../output/write.ts";
import { type Leftover, setOf } from "../../resources/apply-set.ts";

export function nameLeftover({ kind, resource }: Leftover): string {
  return `${kind.kind} ${resource.metadata?.slug ?? ""}`;
}

export interface PruneOptions {
  readonly set: string | undefined;
  /** Those that the manifests are in: a set of the same name in another organization is another set. */
  readonly orgs: ReadonlySet<string>;
  readonly io: CommandIo;
}

/** Deletes what is left over of a set. What the server keeps, because others depend on it, is told; then the exit code is 1. */
export async function prune(
  client: StigmerClient,
  leftovers: readonly Leftover[],
  { set, orgs, io }: PruneOptions,
): Promise<number> {
  let code = 0;
  for (const leftover of leftovers) {
    const calls = leftover.kind.calls(client);
    const id = leftover.resource.metadata?.id ?? "";
    try {
      // Somebody may have taken it out of the set since it was listed.
      const now = await calls.get(id);
      if (set === undefined || setOf(now) !== set || !orgs.has(now.metadata?.org ?? "")) continue;
      await calls.delete(id);
      writeLine(io.stdout, `${nameLeftover(leftover)} pruned (${id})`);
    } catch (error) {
      if (!ClientError.is(error) || error.code === "unavailable") throw error;
      // Gone already, perhaps with what it belongs to.
      if (error.code === "not-found") continue;
      writeLine(io.stderr, `${nameLeftover(leftover)} is kept: ${error.message}`);
      code = 1;
    }
  }
  return code;
}
