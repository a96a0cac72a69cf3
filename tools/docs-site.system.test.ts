import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { pages, repository } from "../docs/.vitepress/pages.ts";

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
    const index = chunks.find((name) => name.startsWith("@localSearchIndex")) ?? "no index";
    const words = await readFile(join(out, "assets/chunks", index), "utf8");
    expect(words).toContain("TOOL_CALL_OUTCOME_UNKNOWN");
    expect(words).toContain("/guides/approvals");
  } finally {
    await rm(out, { recursive: true, force: true });
  }
});
