import { posix } from "node:path";
import type { Packed } from "./pack.ts";
import type { Manifest } from "./public-packages.ts";

const REQUIRED = ["package.json", "README.md", "LICENSE"];
/** What the demo's agent works on has tests of its own. */
const UNWANTED =
  /^(?!examples\/).*(\.(test|test-d|bench)\.|\.tsbuildinfo$|\b(__fixtures__|__snapshots__|node_modules|scripts|coverage)\/|\/\.env)/;

/** What a packed package has and should not, or should have and has not. publint and attw see to the rest. */
export function contentProblems({ files }: Packed): string[] {
  const problems = REQUIRED.filter((name) => !files.has(name)).map((name) => `${name} is not in it`);
  for (const path of files.keys()) if (UNWANTED.test(path)) problems.push(`${path} is for development, and in it`);
  const manifest = files.get("package.json")?.toString("utf8") ?? "{}";
  for (const [, range] of manifest.matchAll(/": "((?:workspace|catalog|link|file):[^"]*)"/g))
    problems.push(`package.json says "${range}", which npm does not know`);
  for (const target of targetsOf(JSON.parse(manifest) as Manifest)) {
    const [before = "", after] = target.split("*");
    const isThere = [...files.keys()].some((path) =>
      after === undefined ? path === target : path.startsWith(before) && path.endsWith(after),
    );
    if (!isThere) problems.push(`package.json names ${target}, which is not in it`);
  }
  for (const [path, map] of files) if (path.endsWith(".js.map")) problems.push(...strangeSources(path, map));
  return problems;

  /** A debugger, and a stack trace, look for what a source map names. */
  function strangeSources(path: string, map: Buffer): string[] {
    const { sources, sourcesContent } = JSON.parse(map.toString("utf8")) as {
      sources: readonly string[];
      sourcesContent?: readonly (string | null)[];
    };
    return sources
      .filter((source, at) => sourcesContent?.[at] == null && !files.has(posix.join(posix.dirname(path), source)))
      .map((source) => `${path} names ${source}, which is not in it`);
  }
}

function targetsOf({ exports = {}, bin = {} }: Manifest): string[] {
  const targets = Object.values(exports).flatMap((target) =>
    typeof target === "string" ? [target] : Object.values(target),
  );
  return [...targets, ...Object.values(bin)].map((target) => target.replace(/^\.\//, ""));
}
