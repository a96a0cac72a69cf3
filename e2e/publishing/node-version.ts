import { access, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { run } from "./run.ts";

/** The folder with the `node` of that version: fetched once, outside the checkout, as npm has it for this platform. */
export async function nodeOfVersion(version: string): Promise<string> {
  const tools = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "stigmer", "tools");
  const name = `node-${process.platform}-${process.arch}`;
  const folder = join(tools, `node-${version}`);
  const bin = join(folder, "node_modules", name, "bin");
  const isThere = async (): Promise<boolean> =>
    access(join(bin, "node")).then(
      () => true,
      () => false,
    );
  if (await isThere()) return bin;
  // Fetched aside and moved into place: whoever runs beside us finds the whole program or none.
  await mkdir(tools, { recursive: true });
  const aside = await mkdtemp(join(tools, "node-"));
  try {
    await run("npm", ["install", "--prefix", aside, "--no-audit", "--no-fund", `${name}@${version}`]);
    await rename(aside, folder).catch(async (error: unknown) => {
      if (!(await isThere())) throw error;
    });
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return bin;
}
