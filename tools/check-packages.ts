import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { GateError, tool, type Evidence } from "./gate.ts";
import { contentProblems } from "./packages/contents.ts";
import { pack, readTarball } from "./packages/pack.ts";
import { publicPackages, type PublicPackage } from "./packages/public-packages.ts";
import { sizeProblems, type SizeBudget } from "./packages/size-budget.ts";

const root = dirname(import.meta.dirname);

/** Packs every package as npm would get it and holds the tarball against publint, attw, what is to be in it, and its size. Needs a build. */
export async function checkPackages(): Promise<Evidence> {
  const budgets = JSON.parse(await readFile(join(import.meta.dirname, "packages/sizes.json"), "utf8")) as Record<
    string,
    SizeBudget
  >;
  const folder = await mkdtemp(join(tmpdir(), "stigmer-pack-"));
  const problems: string[] = [];
  const packages = await publicPackages(root);
  try {
    for (const each of packages) {
      const tarball = await pack(join(root, each.directory), folder);
      const packed = await readTarball(tarball);
      const own = [...contentProblems(packed), ...sizeProblems(packed, budgets[each.manifest.name])];
      problems.push(...own.map((problem) => `${each.directory}: ${problem}`));
      for (const [command, args] of checksOf(each, tarball)) {
        await tool(command, args).catch((error: unknown) =>
          problems.push(`${each.directory}: ${(error as Error).message}`),
        );
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  for (const name of Object.keys(budgets)) {
    if (!packages.some(({ manifest }) => manifest.name === name))
      problems.push(`tools/packages/sizes.json: ${name} is no package of ours`);
  }
  if (problems.length > 0) throw new GateError(problems.join("\n"));
  return { count: packages.length, of: "packages", passed: 1, failed: 0 };
}

function checksOf({ manifest }: PublicPackage, tarball: string): (readonly [string, readonly string[]])[] {
  const hasTypes = Object.values(manifest.exports ?? {}).some((target) => typeof target === "object");
  return [
    ["publint", [tarball, "--strict"]],
    // ESM only, by design: `require` of an ES module works from Node 22 on.
    ...(hasTypes ? [["attw", [tarball, "--profile", "esm-only", "--no-emoji"]] as const] : []),
  ];
}
