import type { PagePosition } from "../resource-store.ts";
import type { Parameters } from "./sql.ts";

/** A part of a WHERE clause with its parameters; false leaves it out. */
export type Condition = readonly [text: string, parameters: Parameters] | false;

/** Joins conditions by AND; `after` goes on where a page that is ordered by creation, newest first, ended. */
export function conditions(
  list: readonly Condition[],
  after?: PagePosition,
): { where: string; parameters: Parameters } {
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

/** Rows whose JSON array column holds every one of the tags. */
export function tagConditions(tags: readonly string[] = []): Condition[] {
  return tags.map((tag, index) => [
    `EXISTS (SELECT 1 FROM json_each(tags) WHERE value = :tag${index})`,
    { [`tag${index}`]: tag },
  ]);
}

/** Rows whose JSON object column holds every one of the labels. */
export function labelConditions(labels: Readonly<Record<string, string>> = {}): Condition[] {
  return Object.entries(labels).map(([key, value], index) => [
    `EXISTS (SELECT 1 FROM json_each(labels) WHERE key = :key${index} AND value = :value${index})`,
    { [`key${index}`]: key, [`value${index}`]: value },
  ]);
}

/** The extended result codes of a primary key or unique index that is taken. */
const UNIQUE_VIOLATIONS: ReadonlySet<unknown> = new Set([1555, 2067, 2579]);

export function isUniqueViolation(error: unknown): boolean {
  return UNIQUE_VIOLATIONS.has((error as { errcode?: unknown }).errcode);
}
