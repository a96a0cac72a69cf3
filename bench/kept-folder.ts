// What npm installs for a measurement: outside the checkout, and kept for the next time.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Resolves with a folder that `make` has filled, now or earlier; another `key` is another folder. Throws what `make` does. */
export async function keptFolder(
  { name, key }: { readonly name: string; readonly key: string },
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const cache = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "stigmer", "bench");
  const folder = join(cache, `${name}-${key.slice(0, 12)}`);
  if (existsSync(folder)) return folder;
  console.log(`Installing ${name} into ${folder}, once; this takes a minute or two …`);
  const aside = `${folder}.${process.pid}`;
  await mkdir(aside, { recursive: true });
  try {
    await make(aside);
    await rename(aside, folder);
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    throw error;
  }
  return folder;
}

/** Runs a command in a folder. Throws with what it said when it fails. */
export async function runIn(cwd: string, [command, ...args]: readonly [string, ...string[]]): Promise<void> {
  const file = command.startsWith(".") ? join(cwd, command) : command;
  await run(file, args, { cwd, maxBuffer: 2 ** 26 });
}
