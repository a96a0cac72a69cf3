import { createHash } from "node:crypto";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
// @boundaries-ignore what is released is packed by the repository's own tools
import { tool } from "../tools/gate.ts";
// @boundaries-ignore what is released is packed by the repository's own tools
import { pack } from "../tools/packages/pack.ts";
// @boundaries-ignore what is released is packed by the repository's own tools
import { publicPackages } from "../tools/packages/public-packages.ts";
import { keptFolder, runIn } from "./kept-folder.ts";

const repository = dirname(import.meta.dirname);

/** Programs as `npm install @stigmer/cli` leaves them: what people run. From source they hold some 40 MiB more. */
export interface Packed {
  readonly cli: string;
  readonly runner: string;
}

let programs: Promise<Packed> | undefined;

/** Builds, packs and installs what npm would get, once for all that is measured. */
export function packed(): Promise<Packed> {
  return (programs ??= install());
}

async function install(): Promise<Packed> {
  await tool("pnpm", ["exec", "turbo", "run", "build"], { cwd: repository });
  const folder = await mkdtemp(join(tmpdir(), "stigmer-bench-packed-"));
  try {
    const tarballs = new Map<string, string>();
    const hash = createHash("sha256").update(process.version);
    for (const { manifest, directory } of await publicPackages(repository)) {
      const tarball = await pack(join(repository, directory), folder);
      tarballs.set(manifest.name, basename(tarball));
      hash.update(await readFile(tarball));
    }
    const installed = await keptFolder({ name: "stigmer", key: hash.digest("hex") }, async (into) => {
      await cp(folder, into, { recursive: true });
      const dependencies = Object.fromEntries([...tarballs].map(([name, tarball]) => [name, `file:./${tarball}`]));
      await writeFile(join(into, "package.json"), JSON.stringify({ private: true, dependencies }));
      await runIn(into, ["npm", "install", "--no-audit", "--no-fund"]);
    });
    const bin = (name: string): string => join(installed, "node_modules/.bin", name);
    return { cli: bin("stigmer"), runner: bin("stigmer-agent-runner") };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
