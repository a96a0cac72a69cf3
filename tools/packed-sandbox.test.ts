import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pack } from "./packages/pack.ts";
import { tool } from "./gate.ts";

// `@stigmer/sandbox` is for other people's projects too: packed as npm would get it, installed alone by npm, and used as its
// README says, without our condition, types checked as a stranger's compiler sees them.

const root = dirname(import.meta.dirname);
let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "stigmer-consumer-"));
  await tool("turbo", ["run", "build", "--filter=@stigmer/sandbox"], { cwd: root });
  const tarball = await pack(join(root, "packages/sandbox"), project);
  await writeFile(join(project, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }));
  await tool("npm", ["install", "--no-audit", "--no-fund", "--no-update-notifier", tarball], { cwd: project });
}, 120_000);

afterAll(() => rm(project, { recursive: true, force: true }));

describe("@stigmer/sandbox, packed and installed alone", () => {
  it("runs its README's example", async () => {
    const readme = await readFile(join(root, "packages/sandbox/README.md"), "utf8");
    const example = /^```ts\n(?<code>.*?)^```$/ms.exec(readme)?.groups?.["code"] ?? "";
    await writeFile(join(project, "example.ts"), example);
    const result = await execa(process.execPath, ["example.ts"], { cwd: project, all: true, reject: false });
    expect(result.exitCode, result.all).toBe(0);
  });

  it("type-checks for a stranger", { timeout: 60_000 }, async () => {
    const config = {
      compilerOptions: {
        module: "nodenext",
        target: "es2024",
        strict: true,
        noEmit: true,
        types: ["node"],
        typeRoots: [join(root, "node_modules/@types")],
        allowImportingTsExtensions: true,
      },
      include: ["example.ts"],
    };
    await writeFile(join(project, "tsconfig.json"), JSON.stringify(config));
    await tool(join(root, "node_modules/.bin/tsc"), ["-p", project]);
  });

  it("brings no package of ours along", async () => {
    const { stdout } = await execa("npm", ["ls", "--all", "--json"], { cwd: project });
    const { dependencies } = JSON.parse(stdout) as {
      dependencies: Record<string, { dependencies?: Record<string, unknown> }>;
    };
    expect(Object.keys(dependencies)).toEqual(["@stigmer/sandbox"]);
    const own = Object.keys(dependencies["@stigmer/sandbox"]?.dependencies ?? {}).filter((name) =>
      name.startsWith("@stigmer/"),
    );
    expect(own).toEqual([]);
  });
});
