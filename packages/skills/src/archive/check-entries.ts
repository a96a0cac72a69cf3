// Which entries an archive may have, told from its directory alone: nothing has been unpacked yet.
import type { Entry } from "yauzl";
import { refused, tooLarge } from "./archive-error.ts";
import type { ArchiveLimits } from "./limits.ts";

// What no common file system takes.
const LONGEST_PART = 255;
const LONGEST_PATH = 1024;

const TYPE = 0o170000;
const FOLDER = 0o040000;
const FILE = 0o100000;
const LINK = 0o120000;

/** Checks entry by entry, so that a directory without end is left at the first one too many. */
export function createEntryChecks(archiveBytes: number, limits: ArchiveLimits): (entry: Entry) => void {
  const addName = createNameChecks();
  let count = 0;
  let unpacked = 0;
  return (entry) => {
    count += 1;
    if (count > limits.entries) throw tooLarge(`has more than ${limits.entries} files`);
    checkKind(entry);
    addName(entry.fileName);
    unpacked += entry.uncompressedSize;
    if (unpacked > limits.unpackedBytes) throw tooLarge(`unpacks to more than ${limits.unpackedBytes} bytes`);
    if (unpacked > archiveBytes * limits.ratio) throw tooLarge(`unpacks to more than ${limits.ratio} times its size`);
  };
}

/** Two entries over the same bytes unpack them twice: how a bomb keeps its ratio small. */
export function checkOverlaps(entries: readonly Entry[]): void {
  const byOffset = entries.toSorted((a, b) => a.relativeOffsetOfLocalHeader - b.relativeOffsetOfLocalHeader);
  let end = 0;
  for (const { fileName, relativeOffsetOfLocalHeader: start, compressedSize, fileNameRaw } of byOffset) {
    if (start < end) throw refused(`has files that share their bytes (${show(fileName)})`);
    end = start + 30 + fileNameRaw.length + compressedSize;
  }
}

export const isFolder = (entry: Entry): boolean => entry.fileName.endsWith("/");

/** The Unix mode; archives from other systems leave it 0. */
export const modeOf = (entry: Entry): number => entry.externalFileAttributes >>> 16;

function checkKind(entry: Entry): void {
  const name = show(entry.fileName);
  const type = modeOf(entry) & TYPE;
  if (type === LINK) throw refused(`has a symbolic link, ${name}: put the file itself in`);
  if (type !== 0 && type !== FILE && type !== FOLDER) throw refused(`has a special file, ${name}`);
  if (isFolder(entry) ? type === FILE || entry.uncompressedSize > 0 : type === FOLDER)
    throw refused(`has ${name}, which is both a file and a folder`);
  if (entry.isEncrypted()) throw refused(`is encrypted (${name})`);
  if (!entry.canDecodeFileData()) throw refused(`uses a compression that is not deflate (${name})`);
}

/** Names that mean one path on every file system, also where upper and lower case or two ways to write an é are one. */
function createNameChecks(): (fileName: string) => void {
  const written = new Map<string, { readonly path: string; isFolder: boolean; isEntry: boolean }>();

  function add(path: string, own: { readonly isFolder: boolean; readonly isEntry: boolean }): void {
    const folded = path.normalize("NFC").toLowerCase();
    const before = written.get(folded);
    if (before === undefined) {
      written.set(folded, { path, ...own });
      return;
    }
    if (before.path !== path)
      throw refused(`has ${show(before.path)} and ${show(path)}, which are one name on some systems: rename one`);
    if (before.isFolder !== own.isFolder) throw refused(`has ${show(path)} as a file and as a folder`);
    if (before.isEntry && own.isEntry) throw refused(`has two files named ${show(path)}`);
    before.isEntry ||= own.isEntry;
  }

  return (fileName) => {
    const folder = fileName.endsWith("/");
    const path = folder ? fileName.slice(0, -1) : fileName;
    const parts = path.split("/");
    const problem = problemOf(path, parts);
    if (problem !== undefined) throw refused(`has a file named ${show(fileName)}: ${problem}`);
    for (let at = 1; at < parts.length; at++) add(parts.slice(0, at).join("/"), { isFolder: true, isEntry: false });
    add(path, { isFolder: folder, isEntry: true });
  };
}

function problemOf(path: string, parts: readonly string[]): string | undefined {
  if (path.startsWith("/") || /^[a-z]:/i.test(path)) return "the path is absolute";
  if (path.includes("\\")) return "the path has a backslash";
  if (parts.includes("..")) return "the path leads out with ..";
  if (parts.includes("") || parts.includes(".")) return "the path has an empty part";
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffd]/.test(path)) return "the name can't be shown";
  if (parts.some((part) => Buffer.byteLength(part) > LONGEST_PART)) return "the name is too long";
  return Buffer.byteLength(path) > LONGEST_PATH ? "the path is too long" : undefined;
}

/** For a message: names come from strangers. */
function show(name: string): string {
  const short = name.length > 100 ? `${name.slice(0, 100)}…` : name;
  return /^[\w./ -]+…?$/.test(short) ? short : JSON.stringify(short);
}
