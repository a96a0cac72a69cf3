const NUL = "\0";
const ESCAPE = "\x01";

/**
 * Postgres' text holds every character but NUL, which a program's output may well contain: it is written as two characters.
 * Different texts stay different, and in their order.
 */
function encodeText(text: string): string {
  if (!text.includes(NUL) && !text.includes(ESCAPE)) return text;
  return text.replaceAll(ESCAPE, `${ESCAPE}1`).replaceAll(NUL, `${ESCAPE}0`);
}

function decodeText(text: string): string {
  return text.includes(ESCAPE) ? text.replaceAll(`${ESCAPE}0`, NUL).replaceAll(`${ESCAPE}1`, ESCAPE) : text;
}

export function encodeTags(tags: readonly string[]): string {
  return JSON.stringify(tags.map(encodeText));
}

export function encodeLabels(labels: Readonly<Record<string, string>>): string {
  return JSON.stringify(
    Object.fromEntries(Object.entries(labels).map((pair) => pair.map(encodeText) as [string, string])),
  );
}

/** What a parameter of a statement may be. Times and counts are whole numbers that JavaScript holds exactly. */
export type Value = string | number | boolean | Uint8Array | null | readonly string[] | readonly number[];

/** As `pg` wants it. */
export function encodeValue(value: Value): unknown {
  if (typeof value === "string") return encodeText(value);
  return Array.isArray(value)
    ? value.map((item: unknown) => (typeof item === "string" ? encodeText(item) : item))
    : value;
}

/** The types of this store's columns, by their number in Postgres' catalog. */
const PARSERS: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  [16, (text) => text === "t"],
  [17, bytesOf],
  [20, Number],
  [21, Number],
  [23, Number],
  [25, decodeText],
  [3802, jsonOf],
]);

/** How `pg` reads what a statement answers. */
export const types: { getTypeParser(oid: number, format?: unknown): (text: string) => unknown } = {
  getTypeParser: (oid) => PARSERS.get(oid) ?? ((text) => text),
};

function bytesOf(text: string): Uint8Array {
  const { buffer, byteOffset, length } = Buffer.from(text.slice(2), "hex");
  return new Uint8Array(buffer, byteOffset, length);
}

/** Tags or labels. */
function jsonOf(text: string): unknown {
  const value = JSON.parse(text) as readonly string[] | Readonly<Record<string, string>>;
  // How JSON writes the character that marks what was encoded.
  if (!text.includes("\\u0001")) return value;
  if (Array.isArray(value)) return value.map((item: string) => decodeText(item));
  return Object.fromEntries(Object.entries(value).map((pair) => pair.map(decodeText) as [string, string]));
}
