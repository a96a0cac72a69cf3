import type { CommandIo } from "../command-io.ts";
import { CliError } from "../errors.ts";
import { type OutputFormat, showResource, showResources } from "../output/show-resources.ts";
import { findKind, findResource, type Labels, listResources } from "../resources/kinds.ts";
import { withClient } from "../server-connection/with-client.ts";

export interface GetOptions {
  readonly kind: string;
  /** Absent: all of that kind. */
  readonly nameOrId?: string;
  readonly output: OutputFormat;
  /** `KEY=VALUE`, several with commas between them: only what carries all of these labels. */
  readonly selector?: readonly string[];
}

export async function get(options: GetOptions, io: CommandIo): Promise<void> {
  const kind = findKind(options.kind);
  const labels = readSelector(options.selector ?? []);
  const show = { format: options.output, now: Date.now() };
  if (options.nameOrId !== undefined && options.selector !== undefined) {
    throw new CliError("usage", "--selector chooses among all of a kind: leave it out, or the name");
  }
  await withClient(io, async ({ client }) => {
    if (options.nameOrId !== undefined) {
      io.stdout.write(showResource(kind, await findResource(client, kind, options.nameOrId), show));
      return;
    }
    const resources = await listResources(client, kind, labels);
    if (resources.length === 0 && options.output === "table") {
      const which = Object.keys(labels).length > 0 ? ` with ${options.selector?.join(",")}` : " yet";
      io.stderr.write(`There is no ${kind.names[0]}${which}.\n`);
    } else io.stdout.write(showResources(kind, resources, show));
  });
}

function readSelector(texts: readonly string[]): Labels {
  const labels: Record<string, string> = {};
  for (const text of texts.flatMap((text) => text.split(","))) {
    const [, key = "", value = ""] = /^\s*([^=!\s]+)={1,2}([^=]*)$/.exec(text) ?? [];
    if (key === "") throw new CliError("usage", `--selector ${JSON.stringify(text)}: write LABEL=VALUE`);
    if (labels[key] !== undefined && labels[key] !== value.trim()) {
      throw new CliError("usage", `--selector wants ${key} to be two values at once`);
    }
    labels[key] = value.trim();
  }
  return labels;
}
