import type { AgentExecution } from "@stigmer/protos/agentexecution/v1";
import type { ApiResourceReference } from "@stigmer/protos/apiresource";
import type { EnvironmentSpec } from "@stigmer/protos/environment/v1";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { createdAt, showAge } from "../../output/show-resources.ts";
import { oneLine } from "../../output/plain-text.ts";
import { type CliKind, type Resource, showPhase } from "../../resources/kinds.ts";
import { SECRET_MASK } from "../../resources/secret-values.ts";
import type { Section } from "./layout.ts";

/** How many of what belongs to a resource are shown: the newest. */
export const MOST_SHOWN = 5;

/** What every resource has. */
export function commonSection(kind: CliKind, { metadata, status }: Resource, now: number): Section {
  const { specAudit } = status?.audit ?? {};
  const moment = (time: Timestamp | undefined, by = ""): string => {
    if (time === undefined) return "";
    const date = timestampDate(time);
    return `${date.toISOString()} (${showAge(date.getTime(), now)} ago${by === "" ? "" : `, by ${by}`})`;
  };
  const created = moment(specAudit?.createdAt, specAudit?.createdBy?.id);
  const changed = moment(specAudit?.updatedAt, specAudit?.updatedBy?.id);
  return {
    fields: {
      Kind: kind.kind,
      Name: metadata?.name ?? "",
      Slug: metadata?.slug === metadata?.name ? "" : (metadata?.slug ?? ""),
      ID: metadata?.id ?? "",
      Organization: metadata?.org ?? "",
      Labels: showMap(metadata?.labels ?? {}),
      Tags: metadata?.tags.join(", ") ?? "",
      Created: created,
      Changed: changed === created ? "" : changed,
    },
  };
}

function showMap(map: Readonly<Record<string, string>>): string {
  return Object.entries(map)
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join(", ");
}

/** `house-style`, `house-style@stable`, `other-org/house-style`. */
export function showReference({ org, slug, version }: ApiResourceReference): string {
  return `${org === "" ? "" : `${org}/`}${slug}${version === "" ? "" : `@${version}`}`;
}

/** Variables, the secret ones without their values: the server does not tell those, and neither would this. */
export function variablesSection(spec: EnvironmentSpec | undefined): Section {
  const rows = Object.entries(spec?.data ?? {})
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { value, isSecret, description }]) => {
      const shown = value === "" ? "(to be set)" : isSecret ? SECRET_MASK : oneLine(value, 60);
      return [name, shown, isSecret ? "secret" : "", description];
    });
  return { title: "Variables", head: ["NAME", "VALUE", "", "DESCRIPTION"], rows };
}

export function runsSection(runs: readonly AgentExecution[], now: number): Section {
  const rows = runs.map((run) => [
    run.metadata?.id ?? "",
    showPhase(run.status?.phase ?? 0),
    showAge(createdAt(run), now),
    oneLine(run.spec?.message ?? "", 60),
  ]);
  return { title: "Latest runs", head: ["ID", "PHASE", "AGE", "MESSAGE"], rows };
}
