// glob and grep.
import { lstat } from "node:fs/promises";
import { SandboxError } from "../errors.ts";
import { parseGlob } from "../glob.ts";
import type { FileEntry, GlobOptions, GrepMatch, GrepResult } from "../sandbox.ts";
import type { Directory } from "./directory.ts";
import { toFileEntry } from "./file-entry.ts";
import { openRegularFile } from "./read-file.ts";
import { skipUnreadable, walk } from "./walk.ts";

const grepWindowBytes = 4 * 1024 * 1024;
const binaryProbeBytes = 8192;
const longestLine = 2000;

/** `toRootPath` turns a path under `start` into one under the root. */
export async function globFiles(
  start: Directory,
  pattern: string,
  options: Required<Pick<GlobOptions, "directories" | "maxResults">> & {
    readonly toRootPath: (path: string) => string;
  },
): Promise<FileEntry[]> {
  const glob = parseGlob(pattern, { dot: false });
  const found: FileEntry[] = [];
  for await (const { directory, name, path, entry } of walk(start, glob.mayMatchBelow)) {
    if ((entry.isDirectory() && !options.directories) || !glob.matches(path)) continue;
    if (found.length >= options.maxResults) break;
    const stats = await skipUnreadable(() => lstat(directory.at(name)));
    if (stats !== undefined) found.push(toFileEntry(options.toRootPath(path), stats));
  }
  // A directory comes where what is in it comes, which is behind `a-b` for `a`.
  return options.directories ? found.sort((a, b) => (a.path < b.path ? -1 : 1)) : found;
}

/** Collects matches file by file, up to a limit. */
export interface LineSearch {
  search(directory: Directory, name: string, rootPath: string): Promise<void>;
  readonly full: boolean;
  result(): GrepResult;
}

export function searchLines(text: string, maxMatches: number): LineSearch {
  if (text === "") throw new SandboxError("invalid-argument", "Expected a text to search for, got an empty one.");
  const needle = Buffer.from(text);
  const matches: GrepMatch[] = [];
  let truncated = false;
  const add = (path: string, line: number, bytes: Buffer): void => {
    if (matches.length >= maxMatches) truncated = true;
    else matches.push({ path, line, text: excerpt(bytes.toString("utf8").replace(/\r$/, ""), text) });
  };
  return {
    get full() {
      return truncated;
    },
    result: () => ({ matches, truncated }),
    async search(directory, name, rootPath) {
      const file = await skipUnreadable(() => openRegularFile(directory, name));
      if (file === undefined) return;
      try {
        const { size } = await file.stat();
        let line = 1;
        let carried: Buffer = Buffer.alloc(0);
        for (let position = 0; !truncated;) {
          const chunk = Buffer.allocUnsafe(Math.min(size + 1, grepWindowBytes));
          const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
          const read = chunk.subarray(0, bytesRead);
          const window = carried.length === 0 ? read : Buffer.concat([carried, read]);
          if (position === 0 && window.subarray(0, binaryProbeBytes).includes(0)) return;
          position += bytesRead;
          const atEnd = bytesRead === 0;
          const lastBreak = window.lastIndexOf(0x0a);
          // A line longer than the window is cut: nobody reads it, and it must not fill the memory.
          const end = atEnd || (lastBreak === -1 && window.length > grepWindowBytes) ? window.length : lastBreak + 1;
          line = eachMatch(window.subarray(0, end), { needle, line, found: (at, bytes) => add(rootPath, at, bytes) });
          carried = window.subarray(end);
          if (atEnd) return;
        }
      } finally {
        await file.close();
      }
    },
  };
}

interface Window {
  readonly needle: Buffer;
  readonly line: number;
  readonly found: (line: number, bytes: Buffer) => void;
}

/** Reports each line of `bytes` that holds the needle once, and returns the number of the line that follows. */
function eachMatch(bytes: Buffer, window: Window): number {
  let line = window.line;
  let lineStart = 0;
  const countTo = (position: number): void => {
    for (let at = bytes.indexOf(0x0a, lineStart); at !== -1 && at < position; at = bytes.indexOf(0x0a, lineStart)) {
      line++;
      lineStart = at + 1;
    }
  };
  for (let at = bytes.indexOf(window.needle); at !== -1; at = bytes.indexOf(window.needle, lineStart)) {
    countTo(at);
    const lineBreak = bytes.indexOf(0x0a, at);
    const lineEnd = lineBreak === -1 ? bytes.length : lineBreak;
    // A needle with a line break in it lies in no line.
    if (at + window.needle.length <= lineEnd) window.found(line, bytes.subarray(lineStart, lineEnd));
    countTo(lineEnd + 1);
    if (lineBreak === -1) return line;
  }
  countTo(bytes.length);
  return line;
}

/** The line, or of one too long 2,000 characters around the match. */
export function excerpt(line: string, text: string): string {
  if (line.length <= longestLine) return line;
  const start = Math.max(0, line.indexOf(text) - Math.floor((longestLine - text.length) / 2));
  return line.slice(start, start + longestLine);
}

/** Whether a file under the searched directory is to be looked into. Hidden files are. */
export function fileFilter(glob: string | undefined): (path: string) => boolean {
  if (glob === undefined) return () => true;
  return parseGlob(glob.includes("/") ? glob : `**/${glob}`, { dot: true }).matches;
}
