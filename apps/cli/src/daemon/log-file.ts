import { copyFileSync, fstatSync, openSync, readdirSync, renameSync, statSync, truncateSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeDirectory } from "./make-directory.ts";

const MAX_LOG_BYTES = 10 * 1024 * 1024;
/** So many older pieces of a log are kept, as `.1` (the newest) to `.3`. */
const KEPT_PIECES = 3;

/** Opens a log to append to, for this user's eyes. One that has grown beyond 10 MB is put aside first. */
export function openLogFile(file: string): { readonly fd: number; readonly size: number } {
  makeDirectory(dirname(file));
  if (sizeOf(file) > MAX_LOG_BYTES) {
    shiftPieces(file);
    renameSync(file, `${file}.1`);
  }
  const fd = openSync(file, "a", 0o600);
  return { fd, size: fstatSync(fd).size };
}

/**
 * Puts aside what has grown beyond 10 MB of the logs in a directory while processes write to them. These go on with the file that
 * they have open, so it is copied and emptied; what is written in between is lost.
 */
export function limitLogs(logsDir: string, maxBytes: number = MAX_LOG_BYTES): void {
  for (const name of readdirSync(logsDir)) {
    const file = join(logsDir, name);
    if (!name.endsWith(".log") || sizeOf(file) <= maxBytes) continue;
    shiftPieces(file);
    copyFileSync(file, `${file}.1`);
    truncateSync(file);
  }
}

/** A log with its older pieces, the oldest first. Not all of them need be there. */
export function piecesOf(file: string): string[] {
  return [...Array.from({ length: KEPT_PIECES }, (_, at) => `${file}.${KEPT_PIECES - at}`), file];
}

function shiftPieces(file: string): void {
  for (let piece = KEPT_PIECES - 1; piece > 0; piece--) {
    const from = `${file}.${piece}`;
    if (statSync(from, { throwIfNoEntry: false })) renameSync(from, `${file}.${piece + 1}`);
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
