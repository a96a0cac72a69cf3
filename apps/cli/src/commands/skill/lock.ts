import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { findFiles } from "../../manifests/find-files.ts";
import { readManifests } from "../../manifests/read-manifests.ts";
import { withProgress } from "../../output/progress.ts";
import { writeLine } from "../../output/write.ts";
import { withClient } from "../../server-connection/with-client.ts";
import { compareLocks, LOCK_FILE, readLock, writeLock } from "../../skills/lock/lock-file.ts";
import { resolveLock } from "../../skills/lock/resolve-lock.ts";
import { isFolder } from "../../skills/write-skill-folder.ts";

export interface SkillLockOptions {
  /** Manifests: files, folders, or `-` for standard input. The lock file is beside the first. */
  readonly file: readonly string[];
  /** Write nothing; fail where the lock file is not what it would be. */
  readonly frozen?: boolean;
}

/** Writes down which content the skills have that manifests name, or tells what changed since. */
export async function skillLock({ file: paths, frozen }: SkillLockOptions, io: CommandIo): Promise<void> {
  const target = await lockFileOf(paths[0] ?? ".", io);
  const shown = relative(io.cwd, target) || target;
  const before = await readText(target, shown);
  if (frozen && before === undefined)
    throw new CliError("failed", `${shown} is not there: make it with \`stigmer skill lock\`, and commit it`);
  const files = await Promise.all([...new Set(paths)].map((path) => findFiles(path, io)));
  const { manifests } = readManifests(files.flat());
  const { lock, notes } = await withProgress(io, "Looking up skills", () =>
    withClient(io, ({ client }) => resolveLock(client, manifests)),
  );
  for (const note of notes) writeLine(io.stderr, note);
  const count = `${lock.size} skill${lock.size === 1 ? "" : "s"}`;
  if (frozen) {
    const changes = compareLocks(readLock(before ?? "", shown), lock);
    if (changes.length > 0) {
      const advice = "If that is meant, run `stigmer skill lock` and commit it.";
      throw new CliError("failed", [`${shown} is not what the skills are now:`, ...changes, advice].join("\n"));
    }
    writeLine(io.stdout, `${shown} is up to date (${count})`);
    return;
  }
  const text = writeLock(lock);
  if (text === before) {
    writeLine(io.stdout, `${shown} is up to date (${count})`);
    return;
  }
  await writeFile(target, text);
  writeLine(io.stdout, `${shown} written (${count})`);
}

async function lockFileOf(path: string, io: CommandIo): Promise<string> {
  if (path === "-") return join(io.cwd, LOCK_FILE);
  const target = resolve(io.cwd, path);
  return join((await isFolder(target)) ? target : dirname(target), LOCK_FILE);
}

async function readText(path: string, shown: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new CliError("failed", `${shown} can't be read (${code ?? String(error)})`, { cause: error });
  }
}
