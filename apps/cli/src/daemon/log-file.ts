import { fstatSync, openSync, renameSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { makeDirectory } from "./make-directory.ts";

const MAX_LOG_BYTES = 10 * 1024 * 1024;

/** Opens a log to append to, for this user's eyes. One that has grown beyond 10 MB is put aside as `.1` first. */
export function openLogFile(file: string): { readonly fd: number; readonly size: number } {
  makeDirectory(dirname(file));
  const before = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (before > MAX_LOG_BYTES) renameSync(file, `${file}.1`);
  const fd = openSync(file, "a", 0o600);
  return { fd, size: fstatSync(fd).size };
}
