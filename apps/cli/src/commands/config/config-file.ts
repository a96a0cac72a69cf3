import { closeSync, fsyncSync, openSync, readFileSync, realpathSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ConfigEdit, type Homes, resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { acquireLock, type Lock } from "../../daemon/lock.ts";
import { makeDirectory } from "../../daemon/make-directory.ts";
import { unwritableHome } from "../../daemon/unwritable-home.ts";
import { CliError } from "../../errors.ts";

/** The file's text; empty when there is none. */
export function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return "";
    throw new CliError("failed", `${file} can't be read (${code}): make it a file that you can read.`, {
      cause: error,
    });
  }
}

/** Changes the file's text. Two commands at once do so one after the other. What is refused leaves the file as it is. */
export async function editConfigFile(io: CommandIo, edit: (text: string, file: string) => ConfigEdit): Promise<void> {
  const homes = resolveHome(io.env);
  const lock = await takeTurn(homes);
  try {
    const text = readText(homes.configFile);
    const result = edit(text, homes.configFile);
    if (!result.ok) throw new CliError("failed", result.problems.map(({ message }) => message).join("\n"));
    if (result.text !== text) replaceText(homes, result.text);
  } finally {
    lock.release();
  }
}

const TURN_WITHIN_MS = 5_000;

async function takeTurn(homes: Homes): Promise<Lock> {
  const lockFile = join(homes.runDir, "config.lock");
  for (const deadline = Date.now() + TURN_WITHIN_MS; ; await sleep(20)) {
    let lock: Lock | undefined;
    try {
      lock = acquireLock(lockFile);
    } catch (error) {
      throw unwritableHome(homes, error);
    }
    if (lock) return lock;
    if (Date.now() > deadline) {
      throw new CliError("failed", `${homes.configFile} is being changed by another command: try again.`);
    }
  }
}

/** In one step, and for this user's eyes: a reader sees the old text or the new one, also when the machine goes down. */
function replaceText(homes: Homes, text: string): void {
  const target = targetOf(homes.configFile);
  const temporary = `${target}.${process.pid}.tmp`;
  try {
    makeDirectory(dirname(target));
    const fd = openSync(temporary, "wx", 0o600);
    try {
      writeSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw unwritableHome(homes, error);
  }
}

/** People keep such files elsewhere and link to them: the link stays. */
function targetOf(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}
