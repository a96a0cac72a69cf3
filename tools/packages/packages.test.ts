import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { contentProblems } from "./contents.ts";
import { readTarball, type Packed } from "./pack.ts";
import { publicPackages } from "./public-packages.ts";
import { sizeProblems } from "./size-budget.ts";

const folders: string[] = [];
afterEach(() => Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true }))));

/** A package of these files, in a tarball as npm gets it. */
async function packed(files: Readonly<Record<string, string>>): Promise<Packed> {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-packed-"));
  folders.push(folder);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, "package", path)), { recursive: true });
    await writeFile(join(folder, "package", path), text);
  }
  const paths = Object.keys(files).map((path) => `package/${path}`);
  execFileSync("tar", ["--format=ustar", "-czf", "it.tgz", ...paths], { cwd: folder });
  return readTarball(join(folder, "it.tgz"));
}

const MANIFEST = {
  name: "@stigmer/any",
  version: "1.0.0",
  exports: {
    ".": { "@stigmer/source": "./src/index.ts", default: "./dist/index.js" },
    "./schemas/*": "./schemas/*.json",
  },
  bin: { any: "./dist/main.js" },
  dependencies: { other: "1.2.3" },
};
const GOOD = {
  "package.json": JSON.stringify(MANIFEST, null, 2),
  "README.md": "# any",
  LICENSE: "any",
  "src/index.ts": "export {};",
  "dist/index.js": "export {};",
  "dist/index.js.map": JSON.stringify({ sources: ["../src/index.ts"] }),
  "dist/main.js": "export {};",
  "schemas/thing.json": "{}",
  "examples/any/test/any.test.js": "what an agent is to repair",
};

it("reads a tarball: its files, and both of its sizes", async () => {
  const it = await packed(GOOD);
  expect(Object.fromEntries([...it.files].map(([path, bytes]) => [path, bytes.toString()]))).toEqual(GOOD);
  expect(it.unpacked).toBe(Object.values(GOOD).join("").length);
  expect(it.packed).toBeGreaterThan(100);
});

it("finds a good package good", async () => {
  expect(contentProblems(await packed(GOOD))).toEqual([]);
});

const { LICENSE: _, ...unlicensed } = GOOD;
const { "schemas/thing.json": __, ...unschemed } = GOOD;
it.each<[string, Record<string, string>, string]>([
  ["lacks its licence", unlicensed, "LICENSE is not in it"],
  ["exports what it lacks", unschemed, "package.json names schemas/*.json, which is not in it"],
  ["brings its tests", { ...GOOD, "src/index.test.ts": "" }, "src/index.test.ts is for development, and in it"],
  [
    "brings snapshots",
    { ...GOOD, "src/a/__snapshots__/x.snap": "" },
    "src/a/__snapshots__/x.snap is for development, and in it",
  ],
  ["brings an environment", { ...GOOD, "dist/.env": "" }, "dist/.env is for development, and in it"],
  [
    "was packed by who does not know the workspace",
    { ...GOOD, "package.json": GOOD["package.json"].replace("1.2.3", "catalog:") },
    'package.json says "catalog:", which npm does not know',
  ],
  [
    "has a source map that leads out",
    { ...GOOD, "dist/index.js.map": JSON.stringify({ sources: ["../../other/src/index.ts"] }) },
    "dist/index.js.map names ../../other/src/index.ts, which is not in it",
  ],
])("finds the one that %s", async (_name, files, problem) => {
  expect(contentProblems(await packed(files))).toEqual([problem]);
});

describe("a size", () => {
  const budget = { packed: 100, unpacked: 1_000 };

  it("is within its budget", () => {
    expect(sizeProblems({ packed: 100_000, unpacked: 500_000 }, budget)).toEqual([]);
  });

  it.each([
    ["packed", { packed: 100_001, unpacked: 600_000 }, /^packed it has 100 kB, .* is 100 kB: see with tar/],
    ["unpacked", { packed: 90_000, unpacked: 1_200_000 }, /^unpacked it has 1200 kB, .* is 1000 kB: see with tar/],
    ["packed", { packed: 40_000, unpacked: 600_000 }, /^packed it has 40 kB, .* is 100 kB: something is missing/],
  ])("%s is not", (_which, size, problem) => {
    expect(sizeProblems(size, budget)).toEqual([expect.stringMatching(problem)]);
  });

  it("has a budget at all", () => {
    expect(sizeProblems({ packed: 1, unpacked: 1 }, undefined)).toEqual([expect.stringMatching(/^it has no budget/)]);
  });
});

it("puts each of our packages behind those that it needs", async () => {
  const packages = await publicPackages(join(import.meta.dirname, "../.."));
  const names = packages.map(({ manifest }) => manifest.name);
  expect(names).toHaveLength(13);
  for (const [at, { manifest }] of packages.entries()) {
    const needed = Object.keys(manifest.dependencies ?? {}).filter((name) => names.includes(name));
    for (const name of needed) expect(names.indexOf(name), `${manifest.name} needs ${name}`).toBeLessThan(at);
  }
});
