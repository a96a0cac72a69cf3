import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { chmod, link, mkdtemp, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fingerprintOf } from "../secrets/fingerprint.ts";
import { artifactFile } from "../store/sqlite/artifacts.ts";
import { version } from "../version.ts";
import { flush, writingTo } from "./disk.ts";
import { BackupError } from "./errors.ts";
import { APPLICATION_ID, FORMAT, type Manifest, type Part, PIECE_BYTES, TABLES } from "./format.ts";
import { restoreIsUnfinished } from "./finish-restore.ts";
import { readKey } from "./read-key.ts";
import { refersTo, type Snapshot, takeSnapshot } from "./snapshot.ts";

export interface CreateBackupOptions {
  /** What is backed up; a server may be at work in it. */
  readonly dataDir: string;
  /** The file that is made, for its owner alone. It has its name only once it is complete. */
  readonly file: string;
  /** Replaces a file that is there. Default false: it is refused. */
  readonly overwrite?: boolean;
  /** The key of the secrets. Default: that in `<dataDir>/encryption.key`. It is not put into the backup, only what it is recognised by. */
  readonly encryptionKey?: Uint8Array;
  /** Ends it before its time; nothing is left then. */
  readonly signal?: AbortSignal;
}

/** What a backup has become. */
export interface CreatedBackup extends Manifest {
  readonly bytes: number;
  /** Keys of artifacts that were missing in the data directory already. */
  readonly missingArtifacts: readonly string[];
}

/** How often skills may be deleted while they are copied. */
const ATTEMPTS = 5;

/**
 * Makes one file of all that a data directory holds of a server and its runner, as it is at one moment, while both go on. Throws
 * `BackupError`.
 */
export async function createBackup(options: CreateBackupOptions): Promise<CreatedBackup> {
  const { dataDir, file, overwrite = false, signal } = options;
  const directory = dirname(file);
  checkTarget(file, overwrite);
  if (restoreIsUnfinished(dataDir)) {
    const text = `A restore into ${dataDir} was cut off: run it again, or start the server, which finishes it.`;
    throw new BackupError("unfinished-restore", text);
  }
  return writingTo(directory, async () => {
    // Copies are for nobody else's eyes even while they are made.
    const workshop = await mkdtemp(join(directory, `.${basename(file)}.`));
    try {
      for (let attempt = 1; ; attempt++) {
        signal?.throwIfAborted();
        const made = await pack(join(workshop, String(attempt)), options);
        if (made) {
          await publish(join(workshop, String(attempt)), file, overwrite);
          return { ...made, bytes: statSync(file).size };
        }
        if (attempt === ATTEMPTS) {
          throw new BackupError("busy", `Skills in ${dataDir} were deleted as fast as they were copied: try again.`);
        }
      }
    } finally {
      await rm(workshop, { recursive: true, force: true });
    }
  });
}

function checkTarget(file: string, overwrite: boolean): void {
  const directory = dirname(file);
  if (!existsSync(directory)) {
    throw new BackupError("no-directory", `There is no directory ${directory}: make it, or name another file.`);
  }
  if (!existsSync(file)) return;
  if (statSync(file).isDirectory()) throw new BackupError("exists", `${file} is a directory: name a file in it.`);
  if (!overwrite) throw exists(file);
}

function exists(file: string): BackupError {
  return new BackupError("exists", `${file} exists already: name another file, or replace it with --force.`);
}

/** Undefined when a skill was deleted after the snapshot, which then refers to what is gone. */
async function pack(
  path: string,
  { dataDir, encryptionKey = readKey(dataDir), signal }: CreateBackupOptions,
): Promise<Omit<CreatedBackup, "bytes"> | undefined> {
  using snapshot = await takeSnapshot(dataDir);
  using container = new DatabaseSync(path);
  // It is of no use before it is complete, and flushed then.
  container.exec(`PRAGMA page_size = 65536; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
    PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${FORMAT}; BEGIN; ${TABLES}`);
  const parts: Part[] = [];
  const missingArtifacts: string[] = [];
  for (const key of snapshot.artifacts) {
    const name = `artifacts/${artifactFile(key)}`;
    const part = await add(container, { name, path: join(dataDir, name), signal });
    if (part?.sha256 === key) parts.push(part);
    else if (part || refersTo(dataDir, key)) missingArtifacts.push(key);
    else return undefined;
    if (part && part.sha256 !== key) container.prepare("DELETE FROM pieces WHERE part = ?").run(name);
  }
  for (const name of snapshot.databases) parts.push(await addDatabase(container, { name, path, snapshot, signal }));
  const { takenAt, schemaVersion } = snapshot;
  const keyFingerprint = encryptionKey ? fingerprintOf(encryptionKey) : null;
  const manifest: Manifest = { version, takenAt, schemaVersion, keyFingerprint, parts };
  container.prepare("INSERT INTO backup (manifest) VALUES (?)").run(JSON.stringify(manifest));
  container.exec("COMMIT");
  return { ...manifest, missingArtifacts };
}

interface Source {
  readonly name: string;
  readonly path: string;
  readonly signal: AbortSignal | undefined;
}

async function addDatabase(
  container: DatabaseSync,
  { name, path, snapshot, signal }: Source & { readonly snapshot: Snapshot },
): Promise<Part> {
  signal?.throwIfAborted();
  const copied = `${path}.${name}`;
  await snapshot.copy(name, copied);
  const part = await add(container, { name, path: copied, signal });
  if (!part) throw new Error(`The copy ${copied} is gone.`);
  await rm(copied);
  return part;
}

/** Puts a file into the backup, in pieces. Undefined when there is none. */
async function add(container: DatabaseSync, { name, path, signal }: Source): Promise<Part | undefined> {
  const handle = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw unreadable(path, error);
  });
  if (!handle) return undefined;
  try {
    const insert = container.prepare("INSERT INTO pieces (part, position, bytes) VALUES (?, ?, ?)");
    const hash = createHash("sha256");
    const buffer = new Uint8Array(PIECE_BYTES);
    let bytes = 0;
    for (let position = 0; ; position++) {
      signal?.throwIfAborted();
      const { bytesRead } = await handle.read(buffer).catch((error: unknown) => {
        throw unreadable(path, error);
      });
      if (bytesRead === 0) break;
      const piece = buffer.subarray(0, bytesRead);
      hash.update(piece);
      insert.run(name, position, piece);
      bytes += bytesRead;
    }
    return { name, bytes, sha256: hash.digest("hex") };
  } finally {
    await handle.close();
  }
}

function unreadable(path: string, cause: unknown): BackupError {
  return new BackupError("unreadable", `Cannot read ${path}: ${(cause as Error).message}`, { cause });
}

async function publish(made: string, file: string, overwrite: boolean): Promise<void> {
  await chmod(made, 0o600);
  await flush(made);
  if (overwrite) {
    await rename(made, file);
  } else {
    await link(made, file).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code === "EEXIST") throw exists(file);
      // Some filesystems, of memory cards and of networks, have no links.
      if (existsSync(file)) throw exists(file);
      await rename(made, file);
    });
  }
  await flush(dirname(file));
}
