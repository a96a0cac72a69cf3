import { closeSync, openSync, readSync, statSync } from "node:fs";

const TAIL_BYTES = 8 * 1024;
const MAX_LENGTH = 300;

/** The line of a log, behind `from` bytes, that says best why its writer ended; empty when there is none. */
export function lastWords(file: string, from: number): string {
  const lines = readTail(file, from)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !/^Node\.js v\d/.test(line));
  // Below the line of an uncaught error stand its stack and its properties.
  const line = lines.findLast((line) => /^(Uncaught )?\w*Error( \[\w+\])?: /.test(line)) ?? lines.at(-1) ?? "";
  return messageOf(line).slice(0, MAX_LENGTH);
}

function readTail(file: string, from: number): string {
  try {
    const { size } = statSync(file);
    const start = Math.max(from, size - TAIL_BYTES);
    const bytes = Buffer.alloc(Math.max(0, size - start));
    const fd = openSync(file, "r");
    try {
      return bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, start));
    } finally {
      closeSync(fd);
    }
  } catch {
    // The log is gone: then there is nothing to quote.
    return "";
  }
}

/** Of a line that a logger wrote as JSON. */
function messageOf(line: string): string {
  if (!line.startsWith("{")) return line;
  try {
    const { msg } = JSON.parse(line) as { msg?: unknown };
    return typeof msg === "string" ? msg : line;
  } catch {
    return line;
  }
}
