import { glob, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { makeCheckout } from "./checkout.ts";
import { freePorts } from "./free-ports.ts";
import { runGuide } from "./guide-commands.ts";
import { makeHome, repository, startLocal } from "./stigmer.ts";

// The pages of those who have the repository: their commands are run in a checkout, as the guides are in an empty folder.

const examples = (await Array.fromAsync(glob("examples/{README.md,*/README.md}", { cwd: repository }))).toSorted();

it("finds the examples", () => {
  expect(examples.length).toBeGreaterThan(4);
});

it.concurrent.each(examples)("%s is as it says", { timeout: 400_000 }, async (page) => {
  await using home = await makeHome();
  const { directory, path } = await makeCheckout(home.home);
  const guide = join(home.home, "page.md");
  // Somebody else may be at the port that the page names.
  const text = await readFile(join(repository, page), "utf8");
  await writeFile(guide, text.replaceAll("4010", String(await freePorts())));
  const platform = { home: home.home, modelEnv: {} };
  await runGuide({ guide, platform, path, directory, env: { STIGMER_PORT: "0" } });
});

it.concurrent("README.md is as it says", { timeout: 400_000 }, async () => {
  await using platform = await startLocal(join(import.meta.dirname, "publishing/runner-readme.yaml"));
  const { directory, path } = await makeCheckout(platform.home);
  await runGuide({ guide: join(repository, "README.md"), platform, path, directory });
});
