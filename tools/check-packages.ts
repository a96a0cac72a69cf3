import { glob, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { GateError, tool, type Evidence } from "./gate.ts";

/** Packs every package as npm would get it and holds the tarball against publint and attw. Needs a build. */
export async function checkPackages(): Promise<Evidence> {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-pack-"));
  const problems: string[] = [];
  let count = 0;
  try {
    for await (const manifest of glob("{packages,apps}/*/package.json")) {
      const directory = dirname(manifest);
      const tarball = await pack(directory, folder);
      count += 1;
      const checks = [
        ["publint", [tarball, "--strict"]],
        // ESM only, by design: `require` of an ES module works from Node 22 on.
        ...((await hasTypes(manifest)) ? [["attw", [tarball, "--profile", "esm-only", "--no-emoji"]] as const] : []),
      ] as const;
      for (const [command, args] of checks) {
        await tool(command, args).catch((error: unknown) => problems.push(`${directory}: ${(error as Error).message}`));
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  if (problems.length > 0) throw new GateError(problems.join("\n"));
  return { count, of: "packages", passed: 1, failed: 0 };
}

/** Packs one package into `folder` and returns the tarball's path. */
export async function pack(directory: string, folder: string): Promise<string> {
  const output = await tool("pnpm", ["pack", "--json", "--pack-destination", folder], { cwd: directory });
  const { filename } = JSON.parse(output.slice(output.indexOf("{"))) as { filename: string };
  return filename.startsWith("/") ? filename : join(folder, filename);
}

async function hasTypes(manifest: string): Promise<boolean> {
  const { exports } = JSON.parse(await readFile(manifest, "utf8")) as { exports?: Record<string, unknown> };
  return Object.keys(exports ?? {}).some((key) => key !== "./package.json");
}
