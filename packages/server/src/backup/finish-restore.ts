// The end of a restore: from the moment that it is decided it can only be completed, by whoever takes the directory next.
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";

/** What a restore has unpacked so far; of no meaning after a crash. */
export const UNPACKED = "restore.unpacked";
/** What has been unpacked whole, and is to be the data directory's content. */
const DECIDED = "restore.decided";
/** The same, when everything from before has been moved aside. */
const CLEARED = "restore.cleared";

/** In the directory of a restore: the data directory's content to be, and the name of where the old one goes. */
export const FILES = "files";
export const ASIDE = "aside";

const ASIDE_NAME = /^before-restore-/;
export const KEY_FILE = "encryption.key";

/** What of a data directory a restore leaves where it is: the lock, the key, and what earlier restores moved aside. */
export function staysOverRestore(name: string): boolean {
  return name.startsWith("server.lock") || name === KEY_FILE || ASIDE_NAME.test(name);
}

export function restoreIsUnfinished(dataDir: string): boolean {
  return [DECIDED, CLEARED].some((name) => existsSync(join(dataDir, name)));
}

/** From here on the restore happens, whatever dies: one rename decides. */
export function decideRestore(dataDir: string): void {
  renameSync(join(dataDir, UNPACKED), join(dataDir, DECIDED));
  flushDirectory(dataDir);
}

/**
 * Completes a restore that was decided, and removes what is left of one that was not. Whoever calls must have the directory's
 * lock. Each step can be repeated, so that it may be cut off anywhere.
 */
export function finishRestore(dataDir: string): void {
  const inDirectory = (...names: string[]): string => join(dataDir, ...names);
  if (existsSync(inDirectory(DECIDED))) {
    moveAside(dataDir);
    renameSync(inDirectory(DECIDED), inDirectory(CLEARED));
    flushDirectory(dataDir);
  }
  if (existsSync(inDirectory(CLEARED))) {
    // Its own removal may have been cut off, too.
    const files = inDirectory(CLEARED, FILES);
    for (const name of existsSync(files) ? readdirSync(files) : []) renameSync(join(files, name), inDirectory(name));
    flushDirectory(dataDir);
    rmSync(inDirectory(CLEARED), { recursive: true });
  }
  rmSync(inDirectory(UNPACKED), { recursive: true, force: true });
}

function moveAside(dataDir: string): void {
  const aside = readFileSync(join(dataDir, DECIDED, ASIDE), "utf8");
  const names = readdirSync(dataDir).filter((name) => !staysOverRestore(name) && name !== DECIDED);
  if (names.length === 0) return;
  const target = join(dataDir, aside);
  mkdirSync(target, { recursive: true, mode: 0o700 });
  // What is moved can be read with the key of its time alone, which may be replaced now.
  const key = join(dataDir, KEY_FILE);
  if (existsSync(key)) copyFileSync(key, join(target, KEY_FILE));
  for (const name of names) {
    renameSync(join(dataDir, name), join(target, name));
  }
  flushDirectory(target);
  flushDirectory(dataDir);
}

function flushDirectory(path: string): void {
  const handle = openSync(path, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
