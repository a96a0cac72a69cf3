import { access, glob } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect, it } from "vitest";
import { runGuide } from "./guide-commands.ts";
import { repository, startLocal } from "./stigmer.ts";

// Every guide that has a scenario in guides/ is run as it stands; guide-commands.ts says how to write one.

const scenarios = (await Array.fromAsync(glob("guides/*.yaml", { cwd: import.meta.dirname }))).toSorted();
const guideOf = (scenario: string): string => join(repository, "docs/guides", `${basename(scenario, ".yaml")}.md`);

/** Run by tests of their own: what one says is held to the conformance suite, the other needs more than a daemon. */
const ELSEWHERE = ["write-a-sandbox-backend", "cloud"];

it("has a scenario for every guide", async () => {
  const guides = await Array.fromAsync(glob("*.md", { cwd: join(repository, "docs/guides") }));
  const tested = [...scenarios.map((scenario) => basename(scenario, ".yaml")), ...ELSEWHERE];
  expect(tested.toSorted()).toEqual(guides.map((guide) => basename(guide, ".md")).toSorted());
});

it.concurrent.each(scenarios.map((scenario) => [basename(scenario, ".yaml"), scenario] as const))(
  "docs/guides/%s.md is as it says",
  { timeout: 700_000 },
  async (_, scenario) => {
    await access(guideOf(scenario));
    await using platform = await startLocal(join(import.meta.dirname, scenario));
    // All of them at once, and each command is a process.
    const timeoutMs = 600_000;
    await runGuide({ guide: guideOf(scenario), platform, timeoutMs, env: { MODEL_URL: platform.model.url } });
  },
);
