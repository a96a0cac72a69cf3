import type { PagePosition } from "../resource-store.ts";
import type { Parameters, Sql } from "./sql.ts";
import { encodeLabels, encodeTags } from "./values.ts";

/** A part of a WHERE clause with its parameters; false leaves it out. */
export type Condition = readonly [text: string, parameters: Parameters] | false;

/** Joins conditions by AND; `after` goes on where a page that is ordered by creation, newest first, ended. */
export function conditions(
  list: readonly Condition[],
  after?: PagePosition,
): { readonly where: string; readonly parameters: Parameters } {
  const present = list.filter((condition) => condition !== false);
  if (after) {
    present.push([
      "(created_at, id) < (:after_created_at, :after_id)",
      { after_created_at: after.createdAt, after_id: after.id },
    ]);
  }
  return {
    where: present.length === 0 ? "" : `WHERE ${present.map(([text]) => text).join(" AND ")}`,
    parameters: Object.assign({}, ...present.map(([, parameters]) => parameters)) as Parameters,
  };
}

/** A page's order and length. */
export const PAGE = "ORDER BY created_at DESC, id DESC LIMIT :limit";

/** Rows that have every one of the tags and labels. One text, however many there are. */
export function markConditions(
  tags: readonly string[] = [],
  labels: Readonly<Record<string, string>> = {},
): Condition[] {
  return [
    tags.length > 0 && ["tags @> :tags::jsonb", { tags: encodeTags(tags) }],
    Object.keys(labels).length > 0 && ["labels @> :labels::jsonb", { labels: encodeLabels(labels) }],
  ];
}

/** Counts no further than `limit`, or to the end. */
export async function countRows(
  sql: Sql,
  table: "resources" | "executions",
  { list, limit }: { readonly list: readonly Condition[]; readonly limit: number | undefined },
): Promise<number> {
  const { where, parameters } = conditions(list);
  const text = `SELECT count(*) AS count FROM (SELECT 1 FROM ${table} ${where} LIMIT :limit::bigint) AS counted`;
  const row = await sql.get<{ count: number }>(text, { ...parameters, limit: limit ?? null });
  return row?.count ?? 0;
}
