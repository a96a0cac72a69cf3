import { type Zippable, zipSync } from "fflate";

/** A file on its way into a skill's archive. */
export interface SkillFile {
  /** Relative to the skill, with `/` between the parts. */
  readonly path: string;
  readonly content: Uint8Array;
  readonly isExecutable: boolean;
}

// Zip has local time from 1980 on; a date made from local parts is the same in every time zone.
const mtime = new Date(1980, 0, 1);

// Above this, the best compression takes more time than it is worth.
const SMALL_BYTES = 4 * 1024 * 1024;
const MAX_RATIO = 100;

/** The zip that is pushed. The same files give the same bytes, and so the same version hash. */
export function zipFiles(files: readonly SkillFile[]): Uint8Array {
  const bytes = files.reduce((sum, { content }) => sum + content.length, 0);
  const packed = zipAt(bytes > SMALL_BYTES ? 6 : 9, files);
  // What shrinks like a bomb is taken for one: such files go as they are.
  return bytes > packed.length * MAX_RATIO ? zipAt(0, files) : packed;
}

function zipAt(level: 0 | 6 | 9, files: readonly SkillFile[]): Uint8Array {
  const entries: Zippable = {};
  for (const { path, content, isExecutable } of files) {
    const unixMode = isExecutable ? { os: 3, attrs: (0o100755 << 16) >>> 0 } : {};
    entries[path] = [content, { mtime, level, ...unixMode }];
  }
  return zipSync(entries);
}
