import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { GateError, tool } from "./gate.ts";
import { pack } from "./packages/pack.ts";
import { publicPackages, type PublicPackage } from "./packages/public-packages.ts";

// `pnpm release`, and what the system test does with a registry of its own: builds nothing, packs each package with pnpm (which
// turns `workspace:` and `catalog:` into versions) and publishes by npm what the registry does not have yet. npm, because it is
// what signs provenance and takes its right to publish from the workflow's identity. Begun again after a failure, it goes on.

const root = dirname(import.meta.dirname);
const { values } = parseArgs({
  options: { registry: { type: "string" }, provenance: { type: "boolean", default: false } },
});
const where = values.registry === undefined ? [] : ["--registry", values.registry];

try {
  await publishAll();
} catch (error) {
  if (!(error instanceof GateError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

async function publishAll(): Promise<void> {
  const packages = await publicPackages(root);
  const published = await Promise.all(packages.map(isPublished));
  const missing = packages.filter((_, at) => !published[at]);
  const folder = await mkdtemp(join(tmpdir(), "stigmer-publish-"));
  try {
    const tarballs = await Promise.all(missing.map(({ directory }) => pack(join(root, directory), folder)));
    for (const [at, { manifest }] of missing.entries()) {
      const flags = ["--access", "public", "--tag", tagOf(manifest.version)];
      if (values.provenance) flags.push("--provenance");
      await tool("npm", ["publish", tarballs[at] ?? "", ...flags, ...where]);
      console.log(`published ${manifest.name}@${manifest.version}`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  console.log(`${missing.length} published, ${packages.length - missing.length} there already`);
}

async function isPublished({ manifest }: PublicPackage): Promise<boolean> {
  const name = `${manifest.name}@${manifest.version}`;
  const result = await execa("npm", ["view", name, "version", "--json", ...where], { reject: false, stdin: "ignore" });
  // A package that has other versions is found, and nothing is said of this one.
  if (result.exitCode === 0) return result.stdout.trim() !== "";
  if (/\bE404\b/.test(result.stdout + result.stderr)) return false;
  throw new GateError(`npm can't say whether ${name} is published:\n${result.stdout}${result.stderr}`);
}

/** `0.3.0-next.1` is published as `next`: who installs without a version gets no prerelease. */
function tagOf(version: string): string {
  return /-(?<tag>[a-z]+)/i.exec(version)?.groups?.["tag"] ?? "latest";
}
