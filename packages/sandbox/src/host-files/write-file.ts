// Replacing a file in one step: readers see the old content or the new, never half of it.
import { randomBytes } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { access, lstat, rename, rm, type FileHandle } from "node:fs/promises";
import { errnoOf } from "./file-error.ts";
import type { FileOwner, Location } from "./locate.ts";

const defaultMode = 0o644;
const permissionBits = 0o777;

export async function writeFileAtomically(
  { parent, name }: Location,
  content: string | Uint8Array,
  { mode, owner }: { readonly mode?: number; readonly owner?: FileOwner } = {},
): Promise<void> {
  const replaced = await statIfThere(parent.at(name));
  if (replaced?.isDirectory()) throw Object.assign(new Error("is a directory"), { code: "EISDIR" });
  // A rename asks only for a writable directory. That a file is write-protected is meant, so it is asked for here.
  if (replaced) await access(parent.at(name), constants.W_OK);

  const temporary = `.${randomBytes(9).toString("base64url")}.tmp`;
  const file = await parent.open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, defaultMode);
  try {
    try {
      await writeAll(file, typeof content === "string" ? Buffer.from(content) : content);
      await setOwner(file, replaced ?? owner);
      const bits = mode ?? replaced?.mode;
      if (bits !== undefined) await file.chmod(bits & permissionBits);
    } finally {
      await file.close();
    }
    await rename(parent.at(temporary), parent.at(name));
  } catch (error) {
    await rm(parent.at(temporary), { force: true });
    throw error;
  }
}

/** In as few calls as the system takes: `FileHandle.writeFile` cuts large content into many. */
async function writeAll(file: FileHandle, content: Uint8Array): Promise<void> {
  for (let written = 0; written < content.length;) {
    written += (await file.write(content, written, content.length - written)).bytesWritten;
  }
}

async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Only root may give files away; for everyone else the new file is theirs, as its content now is. */
async function setOwner(file: FileHandle, owner: FileOwner | undefined): Promise<void> {
  if (owner === undefined || process.geteuid?.() !== 0) return;
  await file.chown(owner.uid, owner.gid);
}
