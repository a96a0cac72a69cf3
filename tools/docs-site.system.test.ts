import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, realpath, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { execa } from "execa";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
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

let out: string;
beforeAll(async () => {
  out = await mkdtemp(join(tmpdir(), "stigmer-docs-"));
  const built = await execa("vitepress", ["build", "--outDir", out], {
    cwd: join(repository, "docs"),
    preferLocal: true,
    all: true,
    reject: false,
    stdin: "ignore",
  });
  expect(built.exitCode, built.all).toBe(0);
}, 600_000);
afterAll(() => rm(out, { recursive: true, force: true }));

test("the site has a page for each file, and an index to search in", async () => {
  for (const path of pages.values()) {
    const html = await readFile(join(out, path.replace(/\.md$/, ".html")), "utf8");
    expect(html, path).toContain('<div id="app">');
    // Nothing is asked of another host.
    expect(html, path).not.toMatch(/<(?:script|img|iframe)[^>]+src="(?:https?:)?\/\/|<link[^>]+href="(?:https?:)?\/\//);
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
});

describe("in a browser", () => {
  const SITE = "http://docs.example";
  let browser: Browser;
  beforeAll(async () => {
    // Root may not have the browser's own sandbox, and nothing foreign is shown.
    const executablePath = process.env["STIGMER_TEST_CHROMIUM"] ?? "/usr/bin/chromium";
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  });
  afterAll(() => browser?.close());

  /** A window to which the site is all there is, and what went wrong in it. */
  async function openWindow(width: number): Promise<{ page: Page; wrongs: string[] }> {
    const context = await browser.newContext({ viewport: { width, height: 900 } });
    const wrongs: string[] = [];
    await context.route(
      () => true,
      (route) => {
        const { origin, pathname, href } = new URL(route.request().url());
        const file = join(out, decodeURIComponent(pathname).replace(/\/$/, "/index.html"));
        if (origin === SITE && existsSync(file)) return route.fulfill({ path: file });
        wrongs.push(`asks for ${href}`);
        return route.abort();
      },
    );
    const page = await context.newPage();
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) wrongs.push(message.text());
    });
    page.on("pageerror", (error) => wrongs.push(error.message));
    return { page, wrongs };
  }

  test.concurrent("every page is shown whole, at a desk's and at a phone's width", { timeout: 300_000 }, async () => {
    const { page, wrongs } = await openWindow(1280);
    for (const path of pages.values()) {
      const before = wrongs.length;
      await page.goto(`${SITE}/${path.replace(/\.md$/, ".html")}`);
      // The program that makes the page live is at work, too.
      await page.waitForFunction("document.querySelector('#app').__vue_app__ !== undefined");
      expect(await page.locator("h1").first().isVisible(), path).toBe(true);
      // Tables and blocks of code scroll by themselves.
      for (const width of [390, 1280]) {
        await page.setViewportSize({ width, height: 900 });
        expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth"), `${path} at ${width}`).toBe(0);
      }
      expect(wrongs.slice(before), path).toEqual([]);
    }
  });

  test.concurrent.each([
    ["a desk's", 1280],
    ["a phone's", 390],
  ])("a word is found, and leads to its place, at %s width", { timeout: 120_000 }, async (_, width) => {
    const { page, wrongs } = await openWindow(width);
    await page.goto(SITE);
    await page.getByRole("button", { name: "Search" }).first().click();
    await page.getByRole("searchbox").fill("fence");
    await page.locator(".results .result.selected").getByText("Fence", { exact: true }).waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL(`${SITE}/concepts.html#fence`);
    await page.getByRole("heading", { name: "Fence" }).waitFor();
    expect(wrongs).toEqual([]);
  });
});
