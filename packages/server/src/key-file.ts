import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm, stat, link, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { ServerError } from "./errors.ts";

const KEY_BYTES = 32;

/**
 * The random key kept in a file that only its owner can read; made on first use. Two servers that start at the same
 * moment get the same key. Returns 32 bytes. Throws `ServerError` `not-writable` or `bad-key-file`.
 */
export async function loadOrCreateKeyFile(path: string): Promise<Buffer> {
  const existing = await readKeyFile(path);
  if (existing) return existing;
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
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
    throw new ServerError("not-writable", `Cannot write the key file ${path}: ${(cause as Error).message}.`, { cause });
  } finally {
    await rm(temporary, { force: true });
  }
  const made = await readKeyFile(path);
  if (!made) throw new ServerError("bad-key-file", `The key file ${path} vanished while it was made: start again.`);
  return made;
}

async function readKeyFile(path: string): Promise<Buffer | undefined> {
  let text: string;
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) {
      throw new ServerError("bad-key-file", `Other users can read the key file ${path}: run chmod 600 on it.`);
    }
    text = await readFile(path, "utf8");
  } catch (error) {
    if (ServerError.is(error)) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new ServerError("bad-key-file", `Cannot read the key file ${path}: ${(error as Error).message}.`, {
      cause: error,
    });
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
