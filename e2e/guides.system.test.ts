import { existsSync } from "node:fs";
import { glob, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect, it } from "vitest";
import { runGuide } from "./guide-commands.ts";
import { repository, startLocal } from "./stigmer.ts";

// Every guide, and every other page with commands, that has a scenario in guides/ is run as it stands; guide-commands.ts says how
// to write one.

const scenarios = (await Array.fromAsync(glob("guides/*.yaml", { cwd: import.meta.dirname }))).toSorted();

/** `docs/guides/NAME.md`, `docs/NAME.md`, or the README of an app. */
function guideOf(name: string): string {
  const places = [`docs/${name}.md`, `apps/${name}/README.md`];
  return places.find((page) => existsSync(join(repository, page))) ?? `docs/guides/${name}.md`;
}

/**
 * Run by tests of their own: what one says is held to the conformance suite, one needs more than a daemon (cloud/guide.system.test.ts), and
 * one begins where nothing is installed (publishing.system.test.ts).
 */
const ELSEWHERE = ["write-a-sandbox-backend", "cloud", "getting-started"];

it("has a scenario for every guide, and for every page with commands", async () => {
  const guides = await Array.fromAsync(glob("guides/*.md", { cwd: join(repository, "docs") }));
  for await (const page of glob(["*.md", "{reference,architecture}/**/*.md"], { cwd: join(repository, "docs") }))
    if (/^```sh( fails)?$/m.test(await readFile(join(repository, "docs", page), "utf8"))) guides.push(page);
  const tested = [...scenarios.map((scenario) => basename(scenario, ".yaml")), ...ELSEWHERE];
  const pages = [...guides.map((guide) => basename(guide, ".md")), "cli"];
  expect(tested.toSorted()).toEqual(pages.toSorted());
});

it.concurrent.each(
  scenarios.map((scenario) => [guideOf(basename(scenario, ".yaml")), join(import.meta.dirname, scenario)] as const),
)("%s is as it says", { timeout: 700_000 }, async (guide, scenario) => {
  await using platform = await startLocal(scenario);
  // All of them at once, and each command is a process.
  const timeoutMs = 600_000;
  await runGuide({ guide: join(repository, guide), platform, timeoutMs, env: { MODEL_URL: platform.model.url } });
});
