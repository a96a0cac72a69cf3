import { expect, test } from "vitest";
import { promptSection } from "./prompt-section.ts";

const review = {
  name: "review",
  description: "Review a change.\nUse it for pull requests.",
  path: "/w/skills/review.md",
};

test("is empty without skills", () => {
  expect(promptSection([])).toBe("");
});

test("names each skill with description and path, one item each", () => {
  const section = promptSection([review, { name: "release", description: "Release.", path: "/w/skills/release.md" }]);
  expect(section).toContain("- **review**: Review a change. Use it for pull requests.\n  File: /w/skills/review.md\n");
  expect(section).toContain("- **release**: Release.\n  File: /w/skills/release.md\n");
  expect(section.match(/read_file/g)).toHaveLength(1);
});

test("costs the same however long the skills are", () => {
  const sizes = [10, 1_000_000].map((length) => {
    const withBody = { ...review, body: "x".repeat(length) };
    return promptSection([withBody]).length;
  });
  expect(sizes[0]).toBe(sizes[1]);
});
