// Reading a file in full, within a limit.
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { SandboxError } from "../errors.ts";
import type { Directory } from "./directory.ts";

const firstReadBytes = 64 * 1024;

/** Fails with EISDIR for a directory and `invalid-argument` for what can't be read to an end, such as a named pipe. */
export async function openRegularFile(directory: Directory, name: string): Promise<FileHandle> {
  // Without O_NONBLOCK, opening a named pipe would wait for a writer and hold one of Node's few file threads.
  const file = await directory.open(name, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = await file.stat();
    if (stats.isDirectory()) throw Object.assign(new Error("is a directory"), { code: "EISDIR" });
    if (!stats.isFile()) throw Object.assign(new Error("is not a regular file"), { code: "ENXIO" });
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Reads to the end rather than to the size once seen: the file may be growing, or, under /proc, say that it is empty. */
export async function readAll(
  file: FileHandle,
  options: { readonly maxBytes: number; readonly asked: string },
): Promise<Uint8Array> {
  const { size } = await file.stat();
  if (size > options.maxBytes) throw tooLarge(size, options);
  let content = Buffer.allocUnsafeSlow(Math.max(size + 1, firstReadBytes));
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(content, length, content.length - length, length);
    if (bytesRead === 0) return new Uint8Array(content.buffer, content.byteOffset, length);
    length += bytesRead;
    if (length > options.maxBytes) throw tooLarge(length, options);
    if (length === content.length) content = Buffer.concat([content], content.length * 2);
  }
}

export function tooLarge(size: number, options: { readonly maxBytes: number; readonly asked: string }): SandboxError {
  return new SandboxError(
    "too-large",
    `${JSON.stringify(options.asked)} has ${size} bytes, more than the ${options.maxBytes} that may be read at once. ` +
      "Read a part of it with a command such as `head` or `sed -n`.",
    { path: options.asked },
  );
}
