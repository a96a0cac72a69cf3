// What was written into a skills directory, kept beside it: so that what is there already is not written again, and nothing
// is ever removed that somebody else put there.
import { z } from "zod";
import { skillName } from "./skill-fields.ts";

export const RECORD_FILE = ".stigmer-skills.json";

export interface RecordedSkill {
  /** What stands in the directory: `<name>` for a folder, `<name>.md` for Markdown alone. */
  readonly entry: string;
  /** Empty while it is being written: who finds that begins anew. */
  readonly version: string;
  /** Who has it. The last one to do without it takes it away. */
  readonly users: readonly string[];
}

/** By the name of the skill. */
export type SkillRecord = ReadonlyMap<string, RecordedSkill>;

const schema = z.object({
  skills: z.record(z.string(), z.object({ entry: z.string(), version: z.string(), users: z.array(z.string()) })),
});

/** A record that can't be read knows of nothing: what stands there is then nobody's to remove. */
export function readRecord(text: string): SkillRecord {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return new Map();
  }
  const { data } = schema.safeParse(json);
  // It lies where agents write: an entry may name nothing but what a skill of that name is written to.
  const entries = Object.entries(data?.skills ?? {}).filter(
    ([name, { entry }]) => skillName.safeParse(name).success && (entry === name || entry === `${name}.md`),
  );
  return new Map(entries);
}

export function writeRecord(record: SkillRecord): string {
  const skills = Object.fromEntries([...record].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return `${JSON.stringify({ about: "Written by Stigmer: the skills in this folder that are not yours.", skills }, null, 2)}\n`;
}
