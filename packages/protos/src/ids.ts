import { decodeTime, ulid } from "ulid";
import { type KindName, kinds } from "./kinds.ts";

/** What an id tells about its resource. */
export interface ParsedId {
  readonly kind: KindName;
  /** Unique over all kinds, in lower case. */
  readonly ulid: string;
  /** When the id was made, to the millisecond. */
  readonly createdAt: Date;
}

// Crockford's base 32 lacks i, l, o and u; the first digit of 26 carries only three of the 128 bits.
const pattern = /^(?<prefix>[a-z]+)-(?<ulid>[0-7][0-9a-hjkmnp-tv-z]{25})$/;

const kindsByPrefix: ReadonlyMap<string, KindName> = new Map(
  Object.entries(kinds).map(([name, kind]) => [kind.idPrefix, name as KindName]),
);

/** Makes an id for a new resource. Ids of one kind sort by the time they were made, to the millisecond. */
export function createId(kind: KindName): string {
  return `${kinds[kind].idPrefix}-${ulid(undefined, randomDigit).toLowerCase()}`;
}

const DIGITS = 32;
const randomBytes = new Uint8Array(512);
let used = randomBytes.length;

/**
 * One of 32 values from 0 to below 1, for each of an id's sixteen random digits. Asked for one at a time, as `ulid` does by itself,
 * the system's random bytes took most of what an id takes.
 */
function randomDigit(): number {
  if (used === randomBytes.length) {
    crypto.getRandomValues(randomBytes);
    used = 0;
  }
  const byte = randomBytes[used++] ?? 0;
  return (byte % DIGITS) / DIGITS;
}

/** Takes an id apart; undefined for what is not an id, an upper-case one included. */
export function parseId(id: string): ParsedId | undefined {
  const groups = pattern.exec(id)?.groups;
  const kind = kindsByPrefix.get(groups?.["prefix"] ?? "");
  const suffix = groups?.["ulid"];
  if (kind === undefined || suffix === undefined) {
    return undefined;
  }
  return { kind, ulid: suffix, createdAt: new Date(decodeTime(suffix)) };
}

/** Whether a text is an id, and of that kind when one is given. */
export function isId(text: string, kind?: KindName): boolean {
  const parsed = parseId(text);
  return parsed !== undefined && (kind === undefined || parsed.kind === kind);
}
