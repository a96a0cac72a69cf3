import * as fc from "fast-check";
import { expect, it } from "vitest";
import { chunkText } from "./reply.ts";

it("cuts text into pieces that joined are the text, none of them ending inside a character", () => {
  const text = fc.string({ unit: fc.constantFrom("a", " ", "é", "😀", "👩‍👩‍👧", "\n", "漢", "{", '"') });
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 20 }), (text, size) => {
      const pieces = [...chunkText(text, size)];
      expect(pieces.join("")).toBe(text);
      expect(pieces.every((piece) => piece.isWellFormed())).toBe(true);
      expect(pieces.slice(0, -1).every((piece) => [...piece].length === size)).toBe(true);
      expect(pieces).not.toContain("");
    }),
  );
});
