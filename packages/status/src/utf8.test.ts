import * as fc from "fast-check";
import { expect, test } from "vitest";
import { dropUtf8, endsInHalfPair, utf8Length } from "./utf8.ts";

const anyUnits = fc
  .array(fc.constantFrom("a", "é", "€", "\ud83d", "\ude00", "😀"), { maxLength: 12 })
  .map((units) => units.join(""));

test("the length is that of the encoder, halves of pairs included", () => {
  fc.assert(
    fc.property(anyUnits, (text) => {
      expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length);
    }),
  );
});

test("dropping a prefix leaves the rest, and never half a character", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.nat(40), (text, bytes) => {
      const encoded = new TextEncoder().encode(text);
      const fits = bytes <= encoded.length && ((encoded[bytes] ?? 0) & 0xc0) !== 0x80;
      const rest = new TextDecoder("utf-8", { ignoreBOM: true }).decode(encoded.subarray(bytes));
      expect(dropUtf8(text, bytes)).toBe(fits ? rest : undefined);
    }),
  );
});

test("half a pair at the end is seen", () => {
  expect(endsInHalfPair("a\ud83d")).toBe(true);
  expect(endsInHalfPair("😀")).toBe(false);
  expect(endsInHalfPair("")).toBe(false);
});
