import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pages, repository, resolveLink, slugOf, withoutCode } from "../docs/.vitepress/pages.ts";
import { makeSidebar } from "../docs/.vitepress/sidebar.ts";

// What ends a build of the site (docs-site.system.test.ts), without one. README.md and AGENTS.md are no pages, and link as well.

const linksOf = (file: string): string[] =>
  [
    ...withoutCode(readFileSync(join(repository, file), "utf8"))
      .replace(/`[^`\n]*`/g, "")
      .matchAll(/\]\((?<href>[^)\s]+)\)/g),
  ].map(({ groups }) => groups?.["href"] ?? "");

test.each([...pages.keys(), "README.md", "AGENTS.md"])("every link of %s leads somewhere", (file) => {
  for (const href of linksOf(file)) expect(() => resolveLink(href, file)).not.toThrow();
});

test("all pages are looked at, and they have links", () => {
  expect(pages.size).toBeGreaterThan(50);
  expect([...pages.keys()].flatMap(linksOf).length).toBeGreaterThan(500);
});

test("a link leads to the page, or else to the repository", () => {
  expect(resolveLink("../../packages/skills/README.md", "docs/guides/skills.md")).toBe("/packages/skills");
  expect(resolveLink("../../ARCHITECTURE.md#deltas", "docs/guides/runs.md")).toBe("/architecture#deltas");
  expect(resolveLink("../guides", "docs/reference/cli.md")).toBe(
    "https://github.com/stigmer/stigmer/tree/main/docs/guides",
  );
  expect(resolveLink("LICENSE", "README.md")).toBe("https://github.com/stigmer/stigmer/blob/main/LICENSE");
  expect(resolveLink("https://temporal.io", "README.md")).toBe("https://temporal.io");
});

test("a dead one is refused, with its place", () => {
  expect(() => resolveLink("nowhere.md", "docs/guides/runs.md")).toThrow(
    "docs/guides/runs.md: the link to nowhere.md is dead: there is no docs/guides/nowhere.md",
  );
  expect(() => resolveLink("runs.md#nowhere", "docs/guides/skills.md")).toThrow(
    "no such heading in docs/guides/runs.md",
  );
  expect(() => resolveLink("../../../etc/passwd", "docs/guides/runs.md")).toThrow("dead");
});

test("headings are linked to as on GitHub", () => {
  expect(["`config.yaml`", "What it can't do", "Ollama, and others", "A_b – c"].map(slugOf)).toEqual([
    "configyaml",
    "what-it-cant-do",
    "ollama-and-others",
    "a_b--c",
  ]);
});

test("every page is in the sidebar", () => {
  const links = JSON.stringify(makeSidebar());
  const missing = [...pages.values()].filter((path) => !links.includes(`"/${path.replace(/\.md$/, "")}"`));
  expect(missing).toEqual(["index.md"]);
});
