import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";

const packageDir = dirname(import.meta.dirname);
const manifest = JSON.parse(readFileSync(join(packageDir, "package.json"), "utf8")) as {
  exports: Record<string, { types: string; default: string } | string>;
};

test("every proto package is exported, with code and declarations that exist", () => {
  const generated = readdirSync(join(import.meta.dirname, "gen"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith("index.js"))
    .map((name) => `./src/gen/${name}`);
  const exported = Object.values(manifest.exports)
    .filter((target) => typeof target === "object")
    .filter((target) => target.default.startsWith("./src/gen/"));

  expect(exported.map((target) => target.default).sort()).toEqual(generated.sort());
  expect(generated).toHaveLength(19);
  for (const { types, default: code } of exported) {
    expect(types).toBe(code.replace(/\.js$/, ".d.ts"));
    expect(existsSync(join(packageDir, types))).toBe(true);
  }
});
