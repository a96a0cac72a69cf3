// A skill's zip → what is in it. Everything that its directory can tell is checked before a byte is unpacked.
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { type Entry, fromBufferPromise, type ZipFile } from "yauzl";
import { describeProblem, SkillError } from "../errors.ts";
import { parseSkill, type ParsedSkill } from "../parse-skill.ts";
import { refused, tooLarge } from "./archive-error.ts";
import { checkOverlaps, createEntryChecks, isFolder, modeOf } from "./check-entries.ts";
import { archiveLimits, type ArchiveLimits } from "./limits.ts";

const SKILL_MD = "SKILL.md";

export interface ArchiveFile {
  /** Relative, with `/` between the parts; names one path on every file system. */
  readonly path: string;
  /** Bytes, as the archive says. */
  readonly size: number;
  readonly isExecutable: boolean;
}

/** A skill's archive that was found sound, as far as can be told without unpacking all of it. */
export interface SkillArchive extends ParsedSkill {
  /** SHA-256 of the archive, 64 lower-case hex digits: the skill's version. */
  readonly hash: string;
  /** The whole text of `SKILL.md`. */
  readonly skillMd: string;
  /** In the archive's order, `SKILL.md` included, folders not. */
  readonly files: readonly ArchiveFile[];
  /**
   * Unpacks file after file; one at a time is in memory. Throws `SkillError` `invalid-archive` as soon as a file turns out
   * to be longer or other than the archive says.
   */
  contents(): AsyncIterable<{ readonly file: ArchiveFile; readonly content: Uint8Array }>;
  /** Unpacks everything without keeping anything. Throws as `contents` does. */
  verify(): Promise<void>;
}

export interface OpenArchiveOptions extends Partial<ArchiveLimits> {
  /** The SHA-256 that the archive must have, in hex. Default: any. */
  readonly version?: string;
}

/**
 * Reads a zip with `SKILL.md` at its root. Throws `SkillError` `archive-too-large` for what is beyond the limits, and
 * `invalid-archive` for all else: paths that lead out, links, special files, names that collide, files that share bytes,
 * a `SKILL.md` that is not sound. An archive in the archive is a file like any other: it is never opened.
 */
export async function openSkillArchive(
  bytes: Uint8Array,
  { version, ...changes }: OpenArchiveOptions = {},
): Promise<SkillArchive> {
  const limits = { ...archiveLimits, ...changes };
  if (bytes.length > limits.archiveBytes)
    throw tooLarge(`has ${bytes.length} bytes, the limit is ${limits.archiveBytes}`);
  const hash = createHash("sha256").update(bytes).digest("hex");
  if (version !== undefined && version.toLowerCase() !== hash)
    throw refused(`is not the version ${version}: its SHA-256 is ${hash}`);
  const { zip, entries } = await readDirectory(bytes, limits);
  const skillEntry = entries.find(({ fileName }) => fileName === SKILL_MD);
  if (!skillEntry) throw refused(`has no ${SKILL_MD} at its root: zip the files themselves, not their folder`);
  const skillMd = await readSkillMd(zip, skillEntry, limits);
  const files = entries.filter((entry) => !isFolder(entry));
  return {
    ...parse(skillMd),
    hash,
    skillMd,
    files: files.map(toFile),
    async *contents() {
      for (const entry of files) {
        const chunks: Uint8Array[] = [];
        await unpack(zip, entry, (chunk) => chunks.push(chunk));
        yield { file: toFile(entry), content: Buffer.concat(chunks) };
      }
    },
    async verify() {
      for (const entry of files) await unpack(zip, entry, () => {});
    },
  };
}

async function readDirectory(
  bytes: Uint8Array,
  limits: ArchiveLimits,
): Promise<{ zip: ZipFile; entries: readonly Entry[] }> {
  const check = createEntryChecks(bytes.length, limits);
  const entries: Entry[] = [];
  try {
    const zip = await fromBufferPromise(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), {
      lazyEntries: true,
      strictFileNames: true,
    });
    for await (const entry of zip.eachEntry()) {
      check(entry);
      entries.push(entry);
    }
    checkOverlaps(entries);
    return { zip, entries };
  } catch (error) {
    throw toSkillError(error);
  }
}

function toFile(entry: Entry): ArchiveFile {
  return { path: entry.fileName, size: entry.uncompressedSize, isExecutable: (modeOf(entry) & 0o111) !== 0 };
}

/** yauzl fails as soon as there is more than the entry says. */
async function unpack(zip: ZipFile, entry: Entry, take: (chunk: Uint8Array) => void): Promise<void> {
  let sum = 0;
  try {
    for await (const chunk of await zip.openReadStreamPromise(entry)) {
      sum = crc32(chunk as Buffer, sum);
      take(chunk as Buffer);
    }
  } catch (error) {
    throw toSkillError(error);
  }
  if (sum !== entry.crc32) throw refused(`is damaged: ${entry.fileName} is not what its checksum says`);
}

async function readSkillMd(zip: ZipFile, entry: Entry, { skillMdBytes }: ArchiveLimits): Promise<string> {
  if (entry.uncompressedSize > skillMdBytes)
    throw tooLarge(`has a ${SKILL_MD} of ${entry.uncompressedSize} bytes, the limit is ${skillMdBytes}`);
  const chunks: Uint8Array[] = [];
  await unpack(zip, entry, (chunk) => chunks.push(chunk));
  let text: string;
  try {
    // The byte order mark stays: the text is what was pushed.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch {
    throw refused(`has a ${SKILL_MD} that is not UTF-8 text`);
  }
  if (text.trim() === "") throw refused(`has an empty ${SKILL_MD}`);
  return text;
}

function parse(skillMd: string): ParsedSkill {
  try {
    return parseSkill(skillMd);
  } catch (error) {
    if (!SkillError.is(error)) throw error;
    throw refused(`has a ${SKILL_MD} that is not sound: ${error.problems.map(describeProblem).join("; ")}`);
  }
}

function toSkillError(error: unknown): SkillError {
  if (SkillError.is(error)) return error;
  return refused(`is not a sound zip archive: ${(error as Error).message}`);
}
