import { existsSync } from "node:fs";
import { glob, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect, it } from "vitest";
import { runGuide } from "./guide-commands.ts";
import { prepareLocal, repository, startLocal } from "./stigmer.ts";

// Every guide, and every other page with commands, that has a scenario in guides/ is run as it stands; guide-commands.ts says how
// to write one.

const scenarios = (await Array.fromAsync(glob("guides/*.yaml", { cwd: import.meta.dirname }))).toSorted();

/** `docs/guides/NAME.md`, or `docs/NAME.md`. */
function guideOf(name: string): string {
  const page = `docs/${name}.md`;
  return existsSync(join(repository, page)) ? page : `docs/guides/${name}.md`;
}

/** Run by tests of their own: what one says is held to the conformance suite, the other (cloud/guide.system.test.ts) needs more than a daemon. */
const ELSEWHERE = ["write-a-sandbox-backend", "cloud"];
/** Begin where nothing runs. */
const FROM_NOTHING = ["getting-started"];

it("has a scenario for every guide, and for every page with commands", async () => {
  const guides = await Array.fromAsync(glob("guides/*.md", { cwd: join(repository, "docs") }));
  for await (const page of glob(["*.md", "{reference,architecture}/**/*.md"], { cwd: join(repository, "docs") }))
    if (/^```sh( fails)?$/m.test(await readFile(join(repository, "docs", page), "utf8"))) guides.push(page);
  const tested = [...scenarios.map((scenario) => basename(scenario, ".yaml")), ...ELSEWHERE];
  expect(tested.toSorted()).toEqual(guides.map((guide) => basename(guide, ".md")).toSorted());
});

it.concurrent.each(
  scenarios.map((scenario) => {
    const name = basename(scenario, ".yaml");
    return [guideOf(name), name, join(import.meta.dirname, scenario)] as const;
  }),
)("%s is as it says", { timeout: 700_000 }, async (guide, name, scenario) => {
  await using platform = FROM_NOTHING.includes(name) ? await prepareLocal(scenario) : await startLocal(scenario);
  // All of them at once, and each command is a process.
  const timeoutMs = 600_000;
  const env = { MODEL_URL: platform.model.url, ...(FROM_NOTHING.includes(name) && { STIGMER_PORT: "0" }) };
  await runGuide({ guide: join(repository, guide), platform, timeoutMs, env });
});
