import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** Two 32-bit lanes; how they are made stands in this package's README, so that other languages can make them too. */
export interface Hash {
  readonly a: number;
  readonly b: number;
}

/** The hash of what has nothing in it. */
export const NOTHING: Hash = { a: 0, b: 0 };

const NO_BYTES: Hash = { a: 0x811c9dc5 | 0, b: 0x9747b28c | 0 };

/** The hash of a text, in UTF-8, or of the text that `before` is the hash of with this one behind it. */
export function hashText(text: string, before: Hash = NO_BYTES): Hash {
  let { a, b } = before;
  const add = (byte: number): void => {
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(((b << 5) | (b >>> 27)) ^ byte, 0x9e3779b1);
  };
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) {
      add(unit);
      continue;
    }
    if (unit < 0x800) {
      add(0xc0 | (unit >> 6));
      add(0x80 | (unit & 0x3f));
      continue;
    }
    let point = text.codePointAt(at) ?? 0;
    // An unpaired surrogate is written as the replacement character.
    if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
    if (point > 0xffff) {
      at += 1;
      add(0xf0 | (point >> 18));
      add(0x80 | ((point >> 12) & 0x3f));
    } else {
      add(0xe0 | (point >> 12));
    }
    add(0x80 | ((point >> 6) & 0x3f));
    add(0x80 | (point & 0x3f));
  }
  return { a, b };
}

function hashBytes(bytes: Uint8Array): Hash {
  let { a, b } = NO_BYTES;
  for (const byte of bytes) {
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(((b << 5) | (b >>> 27)) ^ byte, 0x9e3779b1);
  }
  return { a, b };
}

/** A number or enum of 32 bits, by its four bytes. */
export function hashInteger(value: number): Hash {
  return hashBytes(Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
}

/** `hash` in the place that `tag` names: a field's number, an index. No two hashes become the same in one place. */
export function place(tag: number, hash: Hash): Hash {
  const a = scramble(hash.a ^ Math.imul(tag + 1, 0x9e3779b1));
  return { a, b: scramble(hash.b ^ Math.imul(tag + 1, 0x85ebca77) ^ a) };
}

/** The whole that parts in their places make: the order in which they are joined does not matter, nor who joined first. */
export function join(whole: Hash, part: Hash): Hash {
  return { a: whole.a ^ part.a, b: whole.b ^ part.b };
}

export function joinAll(parts: Iterable<Hash>): Hash {
  let whole = NOTHING;
  for (const part of parts) whole = join(whole, part);
  return whole;
}

/** A map: each entry is a key in place 1 with a value in place 2. */
export function hashMap<T>(map: Readonly<Record<string, T>>, hashOf: (value: T) => Hash): Hash {
  return joinAll(
    Object.entries(map).map(([key, value]) => place(0, join(place(1, hashText(key)), place(2, hashOf(value))))),
  );
}

/** A list: each item in the place of its index. */
export function hashList<T>(items: readonly T[], hashOf: (item: T) => Hash): Hash {
  return joinAll(items.map((item, at) => place(at, hashOf(item))));
}

/** A `google.protobuf.Struct`. */
export function hashStruct(struct: JsonObject): Hash {
  return Object.keys(struct).length === 0 ? NOTHING : place(1, hashMap(struct, hashJson));
}

/** A `google.protobuf.Value`: exactly one of its fields is set. */
function hashJson(value: JsonValue): Hash {
  if (value === null) return place(1, hashInteger(0));
  switch (typeof value) {
    case "number":
      return place(2, hashDouble(value));
    case "string":
      return place(3, hashText(value));
    case "boolean":
      return place(4, hashInteger(value ? 1 : 0));
    default:
      return Array.isArray(value) ? place(6, hashJsonList(value)) : place(5, hashStruct(value));
  }
}

function hashJsonList(items: readonly JsonValue[]): Hash {
  return items.length === 0 ? NOTHING : place(1, hashList(items, hashJson));
}

/** By its eight IEEE bytes, the lowest first; JSON has no negative zero. */
function hashDouble(value: number): Hash {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value === 0 ? 0 : value, true);
  return hashBytes(bytes);
}

/** Murmur3's finalizer: every bit counts for every bit, and no two numbers become the same. */
function scramble(value: number): number {
  let mixed = value;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
