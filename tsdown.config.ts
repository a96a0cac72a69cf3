import { readFileSync } from "node:fs";
import { defineConfig, type UserConfig } from "tsdown";

// One build for every package: what a package's `exports` name under "@stigmer/source" is what gets built.
// Run from the package's own folder (`tsdown --config ../../tsdown.config.ts`).
interface Manifest {
  exports?: Record<string, string | Record<string, string>>;
  bin?: Record<string, string>;
}

const manifest = JSON.parse(readFileSync("package.json", "utf8")) as Manifest;

const fromExports = Object.values(manifest.exports ?? {}).flatMap((target) =>
  typeof target === "object" && target["@stigmer/source"]?.endsWith(".ts") ? [target["@stigmer/source"]] : [],
);
// A bin is dist/<name>.js, built from src/<name>.ts.
const fromBin = Object.values(manifest.bin ?? {}).map((file) => file.replace(/^(\.\/)?dist\/(.*)\.js$/, "./src/$2.ts"));

const config: UserConfig = defineConfig({
  entry: [...new Set([...fromExports, ...fromBin])],
  cwd: process.cwd(),
  outDir: "dist",
  format: "esm",
  platform: "node",
  target: "node22.18",
  // File by file, as written: stack traces and `import()` boundaries stay those of the source.
  unbundle: true,
  root: "src",
  dts: true,
  sourcemap: true,
  fixedExtension: false,
  deps: { neverBundle: true },
}) as UserConfig;

export default config;
