import { createHash } from "node:crypto";
import { finished } from "node:stream/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { PushSkillRequestSchema } from "@stigmer/protos/skill/v1";
import { parseSkill, SkillError, type SkillFrontmatter } from "@stigmer/skills";
import { type Entry, fromBufferPromise, type ZipFile } from "yauzl";
import { invalidField } from "./field-errors.ts";

const MAX_ARCHIVE_BYTES = 100 * 1024 * 1024;
const MAX_UNPACKED_BYTES = 500 * 1024 * 1024;
const MAX_FILES = 10_000;
const MAX_RATIO = 100;
const MAX_SKILL_MD_BYTES = 1024 * 1024;

const SKILL_MD = "SKILL.md";

/** What the server keeps of a pushed archive beside its bytes. */
export interface SkillArchive {
  /** SHA-256 of the archive, 64 hex digits. */
  readonly hash: string;
  /** The whole text of `SKILL.md`. */
  readonly skillMd: string;
  /** From its frontmatter. */
  readonly name: string;
  readonly description: string;
}

/**
 * Reads and checks a pushed archive, every file of it, so that what is stored can be unpacked without surprises.
 * Throws INVALID_ARGUMENT or, for what is too large, RESOURCE_EXHAUSTED.
 */
export async function readSkillArchive(artifact: Uint8Array): Promise<SkillArchive> {
  if (artifact.length > MAX_ARCHIVE_BYTES)
    throw tooLarge(`has ${artifact.length} bytes, the limit is ${MAX_ARCHIVE_BYTES}`);
  let text: string | undefined;
  try {
    const zip = await fromBufferPromise(Buffer.from(artifact.buffer, artifact.byteOffset, artifact.length), {
      lazyEntries: true,
      strictFileNames: true,
    });
    text = await readEntries(zip, artifact.length);
  } catch (cause) {
    if (cause instanceof ConnectError) throw cause;
    throw refused(`is not a sound zip archive: ${(cause as Error).message}`);
  }
  if (text === undefined) throw refused(`has no ${SKILL_MD} at its root: zip the files themselves, not their folder`);
  const { name, description } = readFrontmatter(text);
  return { hash: createHash("sha256").update(artifact).digest("hex"), skillMd: text, name, description };
}

/** Answers the text of SKILL.md. */
async function readEntries(zip: ZipFile, archiveBytes: number): Promise<string | undefined> {
  const names = new Set<string>();
  let unpacked = 0;
  let text: string | undefined;
  for await (const entry of zip.eachEntry()) {
    checkEntry(entry);
    if (names.has(entry.fileName)) throw refused(`has two files named ${entry.fileName}`);
    names.add(entry.fileName);
    if (names.size > MAX_FILES) throw tooLarge(`has more than ${MAX_FILES} files`);
    unpacked += entry.uncompressedSize;
    if (unpacked > MAX_UNPACKED_BYTES) throw tooLarge(`unpacks to more than ${MAX_UNPACKED_BYTES} bytes`);
    if (unpacked > archiveBytes * MAX_RATIO) throw tooLarge(`unpacks to more than ${MAX_RATIO} times its size`);
    if (entry.fileName === SKILL_MD) text = await readText(zip, entry);
    else await drain(zip, entry);
  }
  return text;
}

/** yauzl itself refuses names that are absolute, have a backslash or a `..`. */
function checkEntry(entry: Entry): void {
  const { fileName } = entry;
  // The upper half is the Unix mode; archives from other systems leave it 0.
  const type = (entry.externalFileAttributes >>> 16) & 0o170000;
  if (type === 0o120000) throw refused(`has a symbolic link, ${fileName}: put the file itself in`);
  if (type !== 0 && type !== 0o100000 && type !== 0o040000) throw refused(`has a special file, ${fileName}`);
  if (fileName.includes("\0") || fileName === "") throw refused("has a file with an impossible name");
  if (entry.isEncrypted()) throw refused(`is encrypted (${fileName})`);
  if (!entry.canDecodeFileData()) throw refused(`uses a compression that is not deflate (${fileName})`);
}

async function readText(zip: ZipFile, entry: Entry): Promise<string> {
  if (entry.uncompressedSize > MAX_SKILL_MD_BYTES) {
    throw tooLarge(`has a ${SKILL_MD} of ${entry.uncompressedSize} bytes, the limit is ${MAX_SKILL_MD_BYTES}`);
  }
  const chunks: Buffer[] = [];
  for await (const chunk of await zip.openReadStreamPromise(entry)) chunks.push(chunk as Buffer);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
    if (text.trim() === "") throw refused(`has an empty ${SKILL_MD}`);
    return text;
  } catch (error) {
    throw error instanceof ConnectError ? error : refused(`has a ${SKILL_MD} that is not UTF-8 text`);
  }
}

/** Unpacks without keeping: the reader fails when there is more than the entry says. */
async function drain(zip: ZipFile, entry: Entry): Promise<void> {
  if (entry.fileName.endsWith("/")) return;
  const stream = await zip.openReadStreamPromise(entry);
  await finished(stream.resume());
}

/** By the rules that a runner reads skills by: what it would refuse at every run is refused here once. */
function readFrontmatter(text: string): SkillFrontmatter {
  try {
    return parseSkill(text).frontmatter;
  } catch (error) {
    if (!SkillError.is(error)) throw error;
    const problems = error.problems.map(({ field, line, message }) =>
      line === undefined ? `${field}: ${message}` : `${field} (line ${line}): ${message}`,
    );
    throw refused(`has a ${SKILL_MD} that is not sound: ${problems.join("; ")}`);
  }
}

function refused(problem: string): ConnectError {
  return invalidField({ schema: PushSkillRequestSchema, field: "artifact", message: problem });
}

function tooLarge(problem: string): ConnectError {
  return new ConnectError(`artifact: ${problem}`, Code.ResourceExhausted);
}
