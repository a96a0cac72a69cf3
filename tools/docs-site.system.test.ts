import { mkdtemp, readdir, readFile, realpath, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { execa } from "execa";
import { expect, test } from "vitest";
import { pages, repository } from "../docs/.vitepress/pages.ts";

interface SearchEngine {
  loadJSON(text: string, options: object): { search(query: string, options: object): { id: string }[] };
}
// The engine of the site's own search box.
const ofVitePress = createRequire(await realpath(join(repository, "docs/node_modules/vitepress/package.json")));
const engine = ofVitePress("minisearch") as SearchEngine;

/** Where a reader who searches is led, the best first. */
function search(index: string, query: string): string[] {
  const loaded = engine.loadJSON(index, { fields: ["title", "titles", "text"], storeFields: ["title", "titles"] });
  const options = { fuzzy: 0.2, prefix: true, boost: { title: 4, text: 2, titles: 1 }, combineWith: "AND" };
  return loaded.search(query, options).map(({ id }) => id);
}

test("the site is built, with a page for each file and an index to search in", { timeout: 600_000 }, async () => {
  const out = await mkdtemp(join(tmpdir(), "stigmer-docs-"));
  try {
    const built = await execa("vitepress", ["build", "--outDir", out], {
      cwd: join(repository, "docs"),
      preferLocal: true,
      all: true,
      reject: false,
      stdin: "ignore",
    });
    expect(built.exitCode, built.all).toBe(0);
    for (const path of pages.values()) {
      const html = await readFile(join(out, path.replace(/\.md$/, ".html")), "utf8");
      expect(html, path).toContain('<div id="app">');
      // Nothing is asked of another host.
      expect(html, path).not.toMatch(
        /<(?:script|img|iframe)[^>]+src="(?:https?:)?\/\/|<link[^>]+href="(?:https?:)?\/\//,
      );
    }
    const guide = await readFile(join(out, "guides/skills.html"), "utf8");
    expect(guide).toMatch(/href="\/packages\/skills\.html[#"]/);
    expect(guide).toContain('<p class="file-name">');
    expect(await readFile(join(out, "packages/scripted-model.html"), "utf8")).toContain("{{ name }}");

    const chunks = await readdir(join(out, "assets/chunks"));
    const file = chunks.find((name) => name.startsWith("@localSearchIndex")) ?? "no index";
    const index = (await import(pathToFileURL(join(out, "assets/chunks", file)).href)) as { default: string };
    expect(search(index.default, "is in use by another program")[0]).toMatch(/^\/troubleshooting\.html#/);
    expect(search(index.default, "TOOL_CALL_OUTCOME_UNKNOWN")).toContain(
      "/reference/api/agentexecution.html#toolcallstatus",
    );
    expect(search(index.default, "xyzzy")).toEqual([]);
  } finally {
    await rm(out, { recursive: true, force: true });
  }
});
