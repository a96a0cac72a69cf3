import type { StigmerClient } from "@stigmer/client";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { loadManifests } from "../../manifests/load-manifests.ts";
import { withProgress } from "../../output/progress.ts";
import { writeLine } from "../../output/write.ts";
import { findLeftovers, parseSetName } from "../../resources/apply-set.ts";
import { type Plan, planChanges, type PlannedChange } from "../../resources/plan-changes.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { confirm } from "../confirm.ts";
import { sendManifests } from "./apply-manifests.ts";
import { nameLeftover, prune } from "./prune.ts";

export interface ApplyOptions {
  /** Files, folders, or `-` for standard input. */
  readonly file: readonly string[];
  /** Say what would happen, and leave it at that. */
  readonly dryRun?: boolean;
  /** The set that the manifests are. */
  readonly set?: string;
  /** Delete what an earlier `apply` of the set made and no manifest describes any more. */
  readonly prune?: boolean;
  /** Ask nobody. */
  readonly yes?: boolean;
}

/** Checks every document of every file, and compares each with the server's state, before it sends the first. */
export async function apply(options: ApplyOptions, io: CommandIo): Promise<number> {
  const { dryRun = false, prune: prunes = false } = options;
  const set = options.set === undefined ? undefined : parseSetName(options.set);
  if (prunes && set === undefined) {
    throw new CliError("usage", "--prune needs --set NAME: it deletes only what an earlier apply of that set made");
  }
  const manifests = await loadManifests(options.file, io);
  return withClient(io, async ({ client }) => {
    const plan = await withProgress(io, `Comparing ${manifests.length} resources`, () =>
      planChanges(client, manifests, { set }),
    );
    const leftovers = prunes && set !== undefined ? await findLeftovers(client, set, keptBy(plan)) : [];
    if (dryRun) {
      for (const change of plan.changes) writeLine(io.stdout, describeDryRun(change));
      for (const leftover of leftovers) writeLine(io.stdout, `${nameLeftover(leftover)} pruned (dry run)`);
      return 0;
    }
    if (leftovers.length > 0 && !options.yes) {
      const names = leftovers.map(nameLeftover).join(", ");
      const advice = `--prune would delete ${names}: say --yes to do so, or --dry-run to look at it first. Nothing was sent.`;
      await confirm(`Delete ${names}?`, advice, io);
    }
    const orgs = await send(client, plan, io);
    return prune(client, leftovers, { set, orgs, io });
  });
}

function keptBy({ changes }: Plan): ReadonlySet<string> {
  return new Set(changes.map(({ current }) => current?.metadata?.id ?? ""));
}

/** Answers the organizations that the manifests are in. */
async function send(client: StigmerClient, { changes, parents }: Plan, io: CommandIo): Promise<ReadonlySet<string>> {
  const orgs = new Set<string>();
  const before = new Map(changes.map(({ manifest, current }) => [manifest.document, current]));
  await sendManifests(
    client,
    changes.map(({ manifest }) => manifest),
    {
      parents,
      onApplied({ kind, slug, document }, { metadata }) {
        orgs.add(metadata?.org ?? "");
        const current = before.get(document);
        const isSame = current?.metadata?.version?.id === metadata?.version?.id;
        const change = current === undefined ? "created" : isSame ? "unchanged" : "configured";
        writeLine(io.stdout, `${kind} ${metadata?.slug || slug} ${change} (${metadata?.id})`);
      },
    },
  );
  return orgs;
}

function describeDryRun({ manifest: { kind }, change, wanted, mayChangeSecrets }: PlannedChange): string {
  const doubt = mayChangeSecrets ? ", but for the values of secrets, which nobody can see" : "";
  return `${kind} ${wanted.metadata?.slug} ${change} (dry run${change === "unchanged" ? doubt : ""})`;
}
