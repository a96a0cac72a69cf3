import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readdirSync, readSync, rmSync } from "node:fs";
import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { fingerprintOf } from "../secrets/fingerprint.ts";
import { KEY_SETTING } from "../secrets/require-same-key.ts";
import { lockDataDir } from "../store/sqlite/lock.ts";
import { SCHEMA_VERSION } from "../store/sqlite/migrations.ts";
import { troubleOf } from "../store/sqlite/trouble.ts";
import { flush, writingTo } from "./disk.ts";
import { BackupError } from "./errors.ts";
import { ASIDE, decideRestore, FILES, finishRestore, staysOverRestore, UNPACKED } from "./finish-restore.ts";
import {
  APPLICATION_ID,
  DATABASES,
  FORMAT,
  type Manifest,
  manifestSchema,
  type Part,
  SERVER_DATABASE,
} from "./format.ts";
import { problemOf } from "./snapshot.ts";
import { readKey } from "./read-key.ts";

export interface RestoreBackupOptions {
  readonly file: string;
  /** Gets the content of the backup; made when missing. No server may be at work in it. */
  readonly dataDir: string;
  /** Moves what is in the directory into one of its own, inside. Default false: a directory with data is refused. */
  readonly replace?: boolean;
  /** The key that the server will have. Default: that in `<dataDir>/encryption.key`. */
  readonly encryptionKey?: Uint8Array;
  /** Ends it before it is decided; nothing is changed then. */
  readonly signal?: AbortSignal;
}

export interface RestoredBackup extends Manifest {
  /** Where the directory's content of before is, if it had any. */
  readonly aside?: string;
  /** Whether the server will have the key that the secrets need; `none` when there was none to be had. */
  readonly key: "same" | "differs" | "missing" | "none";
}

/**
 * Makes a data directory what it was when the backup was taken. Until everything is unpacked and verified nothing is changed;
 * from then on it happens, even when this is killed: who takes the directory next finishes it. Throws `BackupError`, and
 * `ServerError` `already-running` or `not-writable`.
 */
export async function restoreBackup(options: RestoreBackupOptions): Promise<RestoredBackup> {
  const { file, dataDir, replace = false, signal } = options;
  using backup = openBackup(file);
  const manifest = readManifest(backup, file);
  const lock = lockDataDir(dataDir);
  try {
    const present = readdirSync(dataDir).filter((name) => !staysOverRestore(name));
    if (present.length > 0 && !replace) {
      const text = `${dataDir} is not empty: name another directory with STIGMER_DATA_DIR, or move what is in it aside with --force.`;
      throw new BackupError("not-empty", text);
    }
    for (const name of DATABASES) requireUnused(join(dataDir, name));
    const key = compareKeys(manifest, options.encryptionKey ?? readKey(dataDir));
    const aside = `before-restore-${new Date().toISOString().replaceAll(/[-:.]/g, "")}`;
    await writingTo(dataDir, async () => {
      await unpackAll(backup, { manifest, file, dataDir, signal });
      // Who restores beside another key is told so, and may go on with that one: then it is this database's.
      if (key !== "same") forgetKey(join(dataDir, UNPACKED, FILES, SERVER_DATABASE));
      await writeFile(join(dataDir, UNPACKED, ASIDE), aside, { mode: 0o600, flush: true });
      await flush(join(dataDir, UNPACKED));
      signal?.throwIfAborted();
      decideRestore(dataDir);
      finishRestore(dataDir);
    }).catch((error: unknown) => {
      rmSync(join(dataDir, UNPACKED), { recursive: true, force: true });
      throw error;
    });
    return {
      ...manifest,
      ...(present.length > 0 && { aside: join(dataDir, aside) }),
      key,
    };
  } finally {
    lock.release();
  }
}

function openBackup(file: string): DatabaseSync {
  const header = readHeader(file);
  // https://sqlite.org/fileformat.html, read by hand: SQLite opens no file whose end is missing.
  const isDatabase = header.toString("latin1", 0, 16) === "SQLite format 3\0";
  if (!isDatabase || header.readUInt32BE(68) !== APPLICATION_ID) throw notABackup(file);
  const format = header.readUInt32BE(60);
  if (format > FORMAT) {
    const text = `${file} is a backup of format ${format}, this program knows up to ${FORMAT}: use a newer stigmer.`;
    throw new BackupError("newer", text);
  }
  try {
    return new DatabaseSync(file, { readOnly: true });
  } catch (cause) {
    throw damaged(file, cause);
  }
}

const HEADER_BYTES = 100;

function readHeader(file: string): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  try {
    const handle = openSync(file, "r");
    try {
      readSync(handle, header);
    } finally {
      closeSync(handle);
    }
    return header;
  } catch (cause) {
    throw new BackupError("unreadable", `Cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
}

function notABackup(file: string): BackupError {
  const text = `${file} is not a backup of Stigmer: name a file that \`stigmer server backup\` made.`;
  return new BackupError("not-a-backup", text);
}

function damaged(file: string, cause: unknown): BackupError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new BackupError("damaged", `${file} is damaged (${reason}): it can't be restored, take another one.`, {
    cause,
  });
}

function readManifest(backup: DatabaseSync, file: string): Manifest {
  let manifest: Manifest;
  try {
    const row = backup.prepare("SELECT manifest FROM backup").get();
    manifest = manifestSchema.parse(JSON.parse(String(row?.["manifest"])));
  } catch (cause) {
    // What a schema finds wrong goes over many lines.
    throw damaged(file, cause instanceof z.ZodError ? "its manifest can't be read" : cause);
  }
  const { schemaVersion, version, parts } = manifest;
  if (schemaVersion > SCHEMA_VERSION) {
    const text = `${file} has schema version ${schemaVersion} of stigmer ${version}, this program knows up to ${SCHEMA_VERSION}: use that stigmer or a newer one.`;
    throw new BackupError("newer", text);
  }
  if (!parts.some(({ name }) => name === SERVER_DATABASE)) throw damaged(file, `there is no ${SERVER_DATABASE} in it`);
  return manifest;
}

/** A runner has no lock on the directory, but holds its databases open. */
function requireUnused(path: string): void {
  if (!existsSync(path)) return;
  const busy = (cause?: unknown): BackupError =>
    new BackupError("in-use", `Another process has ${path} open: stop it (stigmer local stop), then try again.`, {
      cause,
    });
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 0 });
    // A database's log can be taken away from it only when nobody else has it open.
    const { journal_mode: mode } = database.prepare("PRAGMA journal_mode = DELETE").get() ?? {};
    if (mode !== "delete") throw busy();
  } catch (error) {
    if (BackupError.is(error)) throw error;
    if (troubleOf(error) === "busy") throw busy(error);
    // What is damaged or can't be opened is in nobody's use, and a good reason for a restore.
  } finally {
    database?.close();
  }
}

interface UnpackOptions {
  readonly manifest: Manifest;
  readonly file: string;
  readonly dataDir: string;
  readonly signal: AbortSignal | undefined;
}

async function unpackAll(backup: DatabaseSync, { manifest, file, dataDir, signal }: UnpackOptions): Promise<void> {
  const directory = join(dataDir, UNPACKED, FILES);
  await mkdir(join(directory, "artifacts"), { recursive: true, mode: 0o700 });
  for (const part of manifest.parts) {
    signal?.throwIfAborted();
    const sha256 = await unpack(backup, { part, file, path: join(directory, part.name) });
    if (sha256 !== part.sha256) throw damaged(file, `${part.name} in it is not complete`);
  }
  for (const { name } of manifest.parts) {
    if (!DATABASES.includes(name)) continue;
    using database = new DatabaseSync(join(directory, name), { readOnly: true });
    const problem = problemOf(database);
    if (problem !== undefined) throw damaged(file, `${name}: ${problem}`);
  }
  await flush(join(directory, "artifacts"));
  await flush(directory);
}

/** Writes a part into a file of its own, flushed; answers its hash. */
async function unpack(
  backup: DatabaseSync,
  { part, file, path }: { part: Part; file: string; path: string },
): Promise<string> {
  const handle = await open(path, "wx", 0o600);
  try {
    const hash = createHash("sha256");
    const pieces = backup.prepare("SELECT bytes FROM pieces WHERE part = ? ORDER BY position").iterate(part.name);
    for (;;) {
      const bytes = nextPiece(pieces, file);
      if (!bytes) break;
      hash.update(bytes);
      await handle.write(bytes);
    }
    await handle.sync();
    return hash.digest("hex");
  } finally {
    await handle.close();
  }
}

/** What can't be read is the backup's fault, not that of the disk which is written. */
function nextPiece(pieces: Iterator<Record<string, unknown>>, file: string): Uint8Array | undefined {
  try {
    const { done, value } = pieces.next();
    return done ? undefined : (value["bytes"] as Uint8Array);
  } catch (cause) {
    throw damaged(file, cause);
  }
}

/** Has the database take the key of the next server that starts on it. */
function forgetKey(path: string): void {
  using database = new DatabaseSync(path);
  // Those of earlier versions have none of it.
  if (!database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'settings'").get()) return;
  database.prepare("DELETE FROM settings WHERE name = ?").run(KEY_SETTING);
}

function compareKeys({ keyFingerprint }: Manifest, key: Uint8Array | undefined): RestoredBackup["key"] {
  if (keyFingerprint === null) return "none";
  if (!key) return "missing";
  return fingerprintOf(key) === keyFingerprint ? "same" : "differs";
}
