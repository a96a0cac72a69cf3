// Makes a directory of a sandbox hold the skills that it should: what is missing is written, what is old goes, the rest stays.
import { createHash } from "node:crypto";
import type { UploadFile } from "@stigmer/sandbox";
import { openSkillArchive, type SkillArchive } from "./archive/open-archive.ts";
import { SkillError } from "./errors.ts";
import { readRecord, RECORD_FILE, type RecordedSkill, writeRecord } from "./skill-record.ts";
import type { Skill, SkillSandbox } from "./skill-writer.ts";

// What is in memory of an archive, beside its zip: so much, or its largest file.
const BATCH_BYTES = 8 * 1024 * 1024;
const BATCH_FILES = 200;

export interface SkillsDirectoryOptions {
  readonly files: SkillSandbox["files"];
  readonly directory: string;
  readonly user: string;
}

export interface SkillsDirectory {
  /** Answers what stands in the directory for each skill, by name: `<name>` or `<name>.md`. */
  replaceAll(skills: readonly Skill[]): Promise<Map<string, string>>;
}

type Record = Map<string, RecordedSkill>;

export function createSkillsDirectory({ files, directory, user }: SkillsDirectoryOptions): SkillsDirectory {
  const at = (entry: string): string => `${directory}/${entry}`;
  const recordFile = (record: Record): UploadFile => ({ path: at(RECORD_FILE), content: writeRecord(record) });

  /** What is in the directory, and what of it is ours. */
  async function look(): Promise<{ record: Record; found: ReadonlySet<string> }> {
    const found = new Set<string>();
    try {
      for (const { path } of await files.list(directory)) found.add(path.slice(directory.length + 1));
    } catch (error) {
      if ((error as { code?: string }).code !== "not-found") throw error;
    }
    const text = found.has(RECORD_FILE) ? await files.readText(at(RECORD_FILE)) : "";
    return { record: new Map(readRecord(text)), found };
  }

  /** Takes away what the user has no more. Answers whether the record changed. */
  async function leave(record: Record, wanted: ReadonlySet<string>): Promise<boolean> {
    let changed = false;
    for (const [name, { entry, version, users }] of record) {
      if (wanted.has(name) || !users.includes(user)) continue;
      changed = true;
      const others = users.filter((other) => other !== user);
      if (others.length > 0) {
        record.set(name, { entry, version, users: others });
        continue;
      }
      await files.remove(at(entry));
      record.delete(name);
    }
    return changed;
  }

  async function write(skill: Skill, record: Record, found: ReadonlySet<string>): Promise<void> {
    const archive = await openArchive(skill);
    const { name } = skill;
    const isFolder = archive !== undefined && archive.files.length > 1;
    const entry = isFolder ? name : `${name}.md`;
    const content = toMarkdown(archive ? { ...archive.frontmatter, body: archive.body } : skill);
    const before = record.get(name);
    if (found.has(entry) && before?.entry !== entry && (isFolder || !(await hasText(entry, content)))) {
      const message = `${at(entry)} is there already, and was not put there for it: move it away, or rename the skill.`;
      throw new SkillError("name-taken", message);
    }
    // Said before it is done: what a crash leaves half written is known as ours, and begun anew.
    const users = [...new Set([...(before?.users ?? []), user])];
    await files.upload([recordFile(record.set(name, { entry, version: "", users }))]);
    if (before !== undefined) await files.remove(at(before.entry));
    record.set(name, { entry, version: versionOf(skill), users });
    if (archive !== undefined && isFolder) await unpack(archive, entry, recordFile(record));
    else await files.upload([{ path: at(entry), content }, recordFile(record)]);
  }

  async function unpack(archive: SkillArchive, entry: string, last: UploadFile): Promise<void> {
    let batch: UploadFile[] = [];
    let bytes = 0;
    try {
      for await (const { file, content } of archive.contents()) {
        if (batch.length >= BATCH_FILES || (bytes > 0 && bytes + content.length > BATCH_BYTES)) {
          await files.upload(batch);
          batch = [];
          bytes = 0;
        }
        batch.push({ path: at(`${entry}/${file.path}`), content, ...(file.isExecutable && { mode: 0o755 }) });
        bytes += content.length;
      }
      await files.upload([...batch, last]);
    } catch (error) {
      // Half a skill helps nobody. Where this fails too, the record still knows of it.
      await files.remove(at(entry)).catch(() => {});
      throw error;
    }
  }

  async function hasText(entry: string, text: string): Promise<boolean> {
    return (await files.readText(at(entry)).catch(() => undefined)) === text;
  }

  return {
    async replaceAll(skills) {
      const { record, found } = await look();
      let isStale = await leave(record, new Set(skills.map(({ name }) => name)));
      for (const skill of skills) {
        const before = record.get(skill.name);
        if (before === undefined || before.version !== versionOf(skill) || !found.has(before.entry)) {
          await naming(skill, () => write(skill, record, found));
          isStale = false;
        } else if (!before.users.includes(user)) {
          record.set(skill.name, { ...before, users: [...before.users, user] });
          isStale = true;
        }
      }
      if (isStale) await files.upload([recordFile(record)]);
      return new Map([...record].map(([name, { entry }]) => [name, entry]));
    },
  };
}

async function openArchive({ name, version, archive: fetch }: Skill): Promise<SkillArchive | undefined> {
  const bytes = await fetch?.();
  if (bytes === undefined) return undefined;
  const archive = await openSkillArchive(bytes, { version });
  if (archive.frontmatter.name === name) return archive;
  throw new SkillError("invalid-archive", `The skill's archive is that of a skill "${archive.frontmatter.name}".`);
}

/** Says which skill it is about. */
async function naming({ id, name }: Skill, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!SkillError.is(error)) throw error;
    const { code, message, problems } = error;
    throw new SkillError(code, `Skill "${name}": ${message}`, { problems, skillId: id, cause: error });
  }
}

/** Markdown without an archive is its own version. */
function versionOf(skill: Skill): string {
  if (skill.version) return skill.version.toLowerCase();
  return `markdown:${createHash("sha256").update(toMarkdown(skill)).digest("hex")}`;
}

/** A heading and the description before the body: the frontmatter has done its work when the model opens the file. */
function toMarkdown({ name, description, body }: Pick<Skill, "name" | "description" | "body">): string {
  return `# ${name}\n\n**Description**: ${description}\n\n---\n\n${body}`;
}
