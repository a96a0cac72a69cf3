import type { Condition, Listings } from "./conditions.ts";

/**
 * A row of a table that lists are read from would change a page of each of its list's indexes, for nothing that anybody asks for
 * soon. So the indexes leave the newest rows out, which are read one by one: when the 64th has come, a trigger of the table has
 * all of them written at once, most to the same pages.
 */
const MOST_ROWS = 64;

/** What an index of a list has. Part of a condition, so that the index is used. */
export const INDEXED = "indexed = 1";

/** The rows of a table that no index of a list has, of which there are fewer than 64. Needs "NOT INDEXED" beside the table's name. */
export function tailOf(table: "audit_entries" | "executions" | "resources"): string {
  return `position > (SELECT max(position) FROM ${table}) / ${MOST_ROWS} * ${MOST_ROWS} AND indexed = 0`;
}

/** A list of a table's rows that pass: from an index of the table, the one that is named if one is, and from its tail. */
export function inParts(
  table: "audit_entries" | "executions" | "resources",
  { index, conditions }: { readonly index?: string; readonly conditions: readonly Condition[] },
): Listings {
  const by = index === undefined ? "" : ` INDEXED BY ${index}`;
  return [
    { from: `${table} AS listed${by}`, conditions: [[INDEXED, {}], ...conditions] },
    { from: `${table} AS listed NOT INDEXED`, conditions: [[tailOf(table), {}], ...conditions] },
  ];
}
