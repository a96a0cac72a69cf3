import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isSlug, shortenSlug, slugify } from "./slugs.ts";

// Names near the rules: what is kept, turned into a hyphen, or dropped, in every mixture.
const name = fc.oneof(
  fc.string({ unit: fc.constantFrom("a", "B", "7", " ", "_", "-", ".", "É", "ß", "İ", "\n", "日", "🙂") }),
  fc.string({ unit: "binary" }),
);

describe("slugify", () => {
  test.each([
    ["Code Reviewer", "code-reviewer"],
    ["deploy_to_production", "deploy-to-production"],
    ["  spaced   out  ", "spaced-out"],
    ["--already-a--slug--", "already-a-slug"],
    ["C++ & Rust (2026)", "c-rust-2026"],
    ["a - b", "a-b"],
    ["v1.2", "v12"],
    ["Müller", "mller"],
    ["tab\there", "tabhere"],
    ["日本語", ""],
    ["", ""],
  ])("makes of %j %j", (text, slug) => {
    expect(slugify(text)).toBe(slug);
  });

  test("makes a slug of every name of which anything is left", () => {
    fc.assert(fc.property(name, (text) => slugify(text) === "" || isSlug(slugify(text))));
  });

  test("leaves slugs as they are", () => {
    fc.assert(fc.property(name, (text) => slugify(slugify(text)) === slugify(text)));
    fc.assert(fc.property(fc.stringMatching(/^[a-z0-9]+(-[a-z0-9]+)*$/), (slug) => slugify(slug) === slug));
  });
});

describe("a long name", () => {
  const long = fc.string({ unit: fc.constantFrom("a", "b", "-", " "), minLength: 250, maxLength: 600 });

  test("has a slug of at most 253 characters, the same every time", () => {
    fc.assert(
      fc.property(long, (text) => {
        const slug = slugify(text);
        expect(slug.length).toBeLessThanOrEqual(253);
        expect(slug === "" || isSlug(slug)).toBe(true);
        expect(slugify(slug)).toBe(slug);
      }),
    );
    expect(slugify("a".repeat(253))).toBe("a".repeat(253));
    expect(slugify(`${"a".repeat(243)}-${"b".repeat(300)}`)).toBe(`${"a".repeat(243)}-b096a00d`);
  });

  test("is another than one that begins alike", () => {
    const slugs = Array.from({ length: 1_000 }, (_, index) => slugify(`${"a".repeat(400)} ${index}`));
    expect(new Set(slugs).size).toBe(1_000);
  });

  test("leaves room where something is put behind its slug", () => {
    const slug = shortenSlug("a".repeat(253), 15);
    expect(slug).toHaveLength(238);
    expect(isSlug(`${slug}-default-123456`)).toBe(true);
    expect(shortenSlug("short", 15)).toBe("short");
  });
});

describe("isSlug", () => {
  test.each(["a", "7", "my-agent-2", "0-0"])("takes %j", (text) => {
    expect(isSlug(text)).toBe(true);
  });

  test.each(["", "-", "-a", "a-", "a--b", "A", "a_b", "a b", "a.b", "ä", "a\n", "a".repeat(254)])(
    "refuses %j",
    (text) => {
      expect(isSlug(text)).toBe(false);
    },
  );
});
