import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm, stat, link, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ServerError, unwritable } from "./errors.ts";

const KEY_BYTES = 32;

/** A file that holds a key. */
export interface KeyFile {
  /** Made, for its owner alone, when missing. */
  readonly directory: string;
  readonly name: string;
  /** The variable that chooses another directory, to be named when this one is of no use. */
  readonly variable: "STIGMER_HOME" | "STIGMER_DATA_DIR";
}

/**
 * The random key kept in a file that only its owner can read; made on first use. Two servers that start at the same
 * moment get the same key. Returns 32 bytes. Throws `ServerError` `not-writable` or `bad-key-file`.
 */
export async function loadOrCreateKeyFile(file: KeyFile): Promise<Buffer> {
  const path = join(file.directory, file.name);
  const existing = await readKeyFile(path, file);
  if (existing) return existing;
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  try {
    await mkdir(file.directory, { recursive: true, mode: 0o700 });
    await writeFile(temporary, `${randomBytes(KEY_BYTES).toString("base64url")}\n`, {
      mode: 0o600,
      flag: "wx",
      flush: true,
    });
    // `link` fails when another process was first, and never shows a half-written key.
    await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  } catch (cause) {
    throw unwritable(file.directory, file.variable, cause);
  } finally {
    // Below a file there is nothing to remove, and that is an error of its own.
    await rm(temporary, { force: true }).catch(() => {});
  }
  const made = await readKeyFile(path, file);
  if (!made) throw new ServerError("bad-key-file", `The key file ${path} vanished while it was made: start again.`);
  return made;
}

async function readKeyFile(path: string, { variable }: KeyFile): Promise<Buffer | undefined> {
  let text: string;
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) {
      throw new ServerError("bad-key-file", `Other users can read the key file ${path}: run chmod 600 on it.`);
    }
    text = await readFile(path, "utf8");
  } catch (error) {
    if (ServerError.is(error)) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    // Making it says what is wrong with the directory.
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new ServerError(
      "bad-key-file",
      `Cannot read the key file ${path}: ${message}; make it readable for this user, or choose another directory with ${variable}`,
      { cause: error },
    );
  }
  const key = Buffer.from(text.trim(), "base64url");
  if (key.length !== KEY_BYTES) {
    throw new ServerError(
      "bad-key-file",
      `The key file ${path} does not hold a key of ${KEY_BYTES} bytes: restore it, or delete it to make a new one.`,
    );
  }
  return key;
}
