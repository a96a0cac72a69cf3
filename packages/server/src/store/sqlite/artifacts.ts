import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ArtifactStore } from "../skill-store.ts";
import { refusalOfDisk } from "./trouble.ts";

/** Where the artifact of a key is, in the directory of artifacts. */
export function artifactFile(key: string): string {
  return `${key}.zip`;
}

/**
 * Artifacts as files beside the database: up to 100 MB each, they would make its log as large and hold up its writer.
 * A file is complete from the moment that it has its name.
 */
export function createArtifactStore(directory: string): ArtifactStore {
  const pathOf = (key: string): string => {
    if (!/^[0-9a-f]{64}$/.test(key)) throw new TypeError(`Not the key of an artifact: ${key}`);
    return join(directory, artifactFile(key));
  };
  const onDisk = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw refusalOfDisk(error, directory);
    }
  };

  async function put(path: string, artifact: Uint8Array): Promise<void> {
    if (await exists(path)) return;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const temporary = `${path}.${randomBytes(4).toString("hex")}`;
    try {
      await writeFile(temporary, artifact, { mode: 0o600, flush: true });
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await flushDirectory(directory);
  }

  return {
    put: (key, artifact) => onDisk(() => put(pathOf(key), artifact)),
    get: (key) => onDisk(() => readFile(pathOf(key)).catch(undefinedWhenMissing)),
    delete: (key) => onDisk(() => rm(pathOf(key), { force: true })),
  };
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(undefinedWhenMissing)) !== undefined;
}

/** A new name survives power loss only once its directory is on disk. */
async function flushDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function undefinedWhenMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
