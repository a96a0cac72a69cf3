import { glob, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { describe, expect, it } from "vitest";

// The first ```ts block of every package's README is a whole program that checks itself. It runs here as it stands, beside
// the README, so that it sees the package's own dependencies.

const root = dirname(import.meta.dirname);
const readmes = await Array.fromAsync(glob("packages/*/README.md", { cwd: root }));

describe("README examples", () => {
  it("are there for every package", async () => {
    const packages = await Array.fromAsync(glob("packages/*/package.json", { cwd: root }));
    expect(packages.length).toBeGreaterThanOrEqual(10);
    expect(readmes.map((path) => dirname(path)).toSorted()).toEqual(packages.map((path) => dirname(path)).toSorted());
  });

  it.each(readmes.toSorted())("%s runs", { timeout: 60_000 }, async (readme) => {
    const text = await readFile(join(root, readme), "utf8");
    const example = /^```ts\n(?<code>.*?)^```$/ms.exec(text)?.groups?.["code"];
    expect(example, "no ```ts block").toBeDefined();
    const program = join(root, dirname(readme), `.readme-example-${process.pid}.ts`);
    await writeFile(program, example ?? "");
    try {
      const result = await execa(process.execPath, ["--conditions=@stigmer/source", program], {
        all: true,
        reject: false,
        stdin: "ignore",
        timeout: 50_000,
      });
      expect(result.exitCode, result.all).toBe(0);
    } finally {
      await rm(program, { force: true });
    }
  });
});
