import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { maskSecrets } from "./mask-secrets.ts";

function streamed(secrets: readonly string[], pieces: readonly string[]): string {
  let out = "";
  const stream = maskSecrets(secrets).stream((text) => (out += text));
  for (const piece of pieces) stream.push(piece);
  stream.end();
  return out;
}

describe("maskSecrets", () => {
  it("strikes out every occurrence, the longer secret first", () => {
    expect(maskSecrets(["token", "token-long"]).apply("a token-long b token token")).toBe(
      "a ******** b ******** ********",
    );
  });

  it("leaves values alone that are too short to be secrets", () => {
    expect(maskSecrets(["1", "yes"]).apply("1 yes")).toBe("1 yes");
  });

  it("masks a secret that comes in pieces, and holds back no more than it must", () => {
    expect(streamed(["hunter2-token"], ["x hunt", "er2-", "token y hun", "ting"])).toBe("x ******** y hunting");
  });

  it("never lets a secret through, however the text is cut", () => {
    const word = fc.stringMatching(/^[ab-]{4,6}$/);
    const text = fc.stringMatching(/^[abc-]{0,40}$/);
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 1, maxLength: 3 }),
        fc.array(text, { maxLength: 6 }),
        (secrets, pieces) => {
          const out = streamed(secrets, pieces);
          // Asterisks aside, so that a mask between two halves does not count as a join.
          for (const part of out.split("********")) for (const secret of secrets) expect(part).not.toContain(secret);
        },
      ),
    );
  });
});
