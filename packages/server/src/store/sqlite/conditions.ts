import type { PagePosition } from "../resource-store.ts";
import type { Parameters, Sql } from "./sql.ts";

/** A part of a WHERE clause with its parameters; false leaves it out. */
export type Condition = readonly [text: string, parameters: Parameters] | false;

/** A table in a list's order, narrowed by the columns of one of its indexes, and by conditions that each row is held against. */
export interface Listing {
  /** What stands behind FROM; `listed` is the table whose `created_at` and `id` make the order. */
  readonly from: string;
  readonly conditions: readonly Condition[];
}

/** What a list is read from, each part for itself: its indexes and its table's tail, or one of its own that has all rows. */
export type Listings = readonly Listing[];

/** A statement's middle: FROM and WHERE. `after` goes on where a page that is ordered by creation, newest first, ended. */
export function clauses(
  { from, conditions }: Listing,
  after?: PagePosition,
): { readonly text: string; readonly parameters: Parameters } {
  const present = conditions.filter((condition) => condition !== false);
  if (after) {
    present.push([
      "(listed.created_at, listed.id) < (:after_created_at, :after_id)",
      { after_created_at: after.createdAt, after_id: after.id },
    ]);
  }
  const where = present.length === 0 ? "" : ` WHERE ${present.map(([text]) => text).join(" AND ")}`;
  return {
    text: `FROM ${from}${where}`,
    parameters: Object.assign({}, ...present.map(([, parameters]) => parameters)) as Parameters,
  };
}

/** A page's order and length. */
export const PAGE = "ORDER BY listed.created_at DESC, listed.id DESC LIMIT :limit";

/** A page in its order, out of the pages that its parts have. */
export function inOrder<One extends PagePosition>(parts: readonly One[][], limit: number): One[] {
  const [first = [], ...others] = parts.filter((part) => part.length > 0);
  if (others.length === 0) return first;
  const newestFirst = (a: One, b: One): number => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1);
  return [first, ...others].flat().toSorted(newestFirst).slice(0, limit);
}

/** Counts no further than `limit`, or to the end. */
export function countAll(sql: Sql, parts: Listings, limit = -1): number {
  let count = 0;
  for (const part of parts) {
    if (count === limit) break;
    count += countRows(sql, part, limit < 0 ? limit : limit - count);
  }
  return count;
}

function countRows(sql: Sql, listing: Listing, limit: number): number {
  const { text, parameters } = clauses(listing);
  const row = sql.get<{ count: number }>(`SELECT count(*) AS count FROM (SELECT 1 ${text} LIMIT :limit)`, {
    ...parameters,
    limit,
  });
  return row?.count ?? 0;
}

/** A tag or a label as the tables of marks hold it: an expression, and its parameters. */
export interface Mark {
  readonly text: string;
  readonly parameters: Parameters;
}

export function marksOf(tags: readonly string[] = [], labels: Readonly<Record<string, string>> = {}): Mark[] {
  return [
    ...tags.map((tag, index) => ({ text: `json_quote(:tag${index})`, parameters: { [`tag${index}`]: tag } })),
    ...Object.entries(labels).map(([key, value], index) => ({
      text: `json_array(:key${index}, :value${index})`,
      parameters: { [`key${index}`]: key, [`value${index}`]: value },
    })),
  ];
}

/** Beyond this many rows a mark is as good as any other to begin with. */
const RARE_ROWS = 1_000;

/** The mark to begin with when rows must have all of them: the rarest first. `condition` narrows the table beside the mark. */
export function rarestFirst(
  sql: Sql,
  marks: readonly Mark[],
  { table, condition }: { readonly table: string; readonly condition: Condition },
): Mark[] {
  if (marks.length < 2) return [...marks];
  const counted = marks.map((mark) => ({
    mark,
    rows: countRows(sql, { from: table, conditions: [condition, [`mark = ${mark.text}`, mark.parameters]] }, RARE_ROWS),
  }));
  return counted.toSorted((a, b) => a.rows - b.rows).map(({ mark }) => mark);
}

/** The extended result codes of a primary key or unique index that is taken. */
const UNIQUE_VIOLATIONS: ReadonlySet<unknown> = new Set([1555, 2067, 2579]);

export function isUniqueViolation(error: unknown): boolean {
  return UNIQUE_VIOLATIONS.has((error as { errcode?: unknown }).errcode);
}
