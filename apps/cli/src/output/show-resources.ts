import { toJson } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type CliKind, nameOf, type Resource } from "../resources/kinds.ts";
import { formatTable } from "./table.ts";
import { toYaml } from "./yaml.ts";

export type OutputFormat = "table" | "yaml" | "json" | "name";

export interface ShowOptions {
  readonly format: OutputFormat;
  /** Milliseconds since 1970, to tell ages from. */
  readonly now: number;
}

/** One resource: as JSON an object, as YAML a document that can be applied again, as name what `KIND/NAME` calls it. */
export function showResource(kind: CliKind, resource: Resource, options: ShowOptions): string {
  if (options.format === "json") return `${JSON.stringify(toJson(kind.schema, resource), null, 2)}\n`;
  return showResources(kind, [resource], options);
}

/** Many: as JSON a list, as YAML a document each. */
export function showResources(kind: CliKind, resources: readonly Resource[], { format, now }: ShowOptions): string {
  switch (format) {
    case "json":
      return `${JSON.stringify(
        resources.map((resource) => toJson(kind.schema, resource)),
        null,
        2,
      )}\n`;
    case "yaml":
      return resources.map((resource) => toYaml(kind.schema, resource)).join("---\n");
    case "name":
      return resources.map((resource) => `${kind.names[0]}/${nameOf(kind, resource)}\n`).join("");
    case "table": {
      const columns = Object.entries(kind.columns);
      const head = [...(kind.named ? ["NAME"] : []), "ID", ...columns.map(([name]) => name), "AGE"];
      const rows = resources.map((resource) => [
        ...(kind.named ? [resource.metadata?.slug ?? ""] : []),
        resource.metadata?.id ?? "",
        ...columns.map(([, cell]) => shorten(cell(resource))),
        showAge(createdAt(resource), now),
      ]);
      return formatTable(head, rows);
    }
  }
}

function shorten(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
}

/** When a resource was made, in milliseconds since 1970. */
export function createdAt({ status }: Resource): number | undefined {
  const created = status?.audit?.specAudit?.createdAt;
  return created === undefined ? undefined : timestampMs(created);
}

/** `90s`, `5m`, `3h`, `12d`; nothing where the time is not known. */
export function showAge(since: number | undefined, now: number): string {
  if (since === undefined) return "";
  const seconds = Math.max(0, Math.floor((now - since) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
