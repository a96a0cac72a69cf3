// stigmer.lock: which content the skills had that manifests name, the skills that those require included.
import { parse, stringify } from "yaml";
import { z } from "zod";
import { CliError } from "../../errors.ts";

export const LOCK_FILE = "stigmer.lock";

export interface LockedSkill {
  /** `sha256:` and 64 hex digits: the version's archive. */
  readonly digest: string;
  /** What its frontmatter requires, as keys of the same lock. */
  readonly requires: readonly string[];
  /** Who has it: `agent librarian`, `agent librarian/helper` of a sub-agent, `session …`. Empty: it is only required. */
  readonly usedBy: readonly string[];
}

/** By `name@version` as it was asked for, behind `org/` or `platform:` where the reference says so. */
export type Lock = ReadonlyMap<string, LockedSkill>;

const VERSION = 1;
const schema = z.object({
  lockfileVersion: z.literal(VERSION),
  skills: z.record(
    z.string(),
    z.object({
      digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
      requires: z.array(z.string()).default([]),
      usedBy: z.array(z.string()).default([]),
    }),
  ),
});

/** The same skills give the same text, so that a lock file changes when they do, and not else. */
export function writeLock(lock: Lock): string {
  const skills = Object.fromEntries(
    [...lock]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, { digest, requires, usedBy }]) => [
        key,
        {
          digest,
          ...(requires.length > 0 && { requires: requires.toSorted() }),
          ...(usedBy.length > 0 && { usedBy: usedBy.toSorted() }),
        },
      ]),
  );
  const about =
    "# Made by `stigmer skill lock`: commit it, and let `stigmer skill lock --frozen` tell what has changed.\n";
  return `${about}${stringify({ lockfileVersion: VERSION, skills }, { lineWidth: 0 })}`;
}

/** Throws a `CliError` for what is no lock file of this version. */
export function readLock(text: string, shown: string): Lock {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 });
  } catch (error) {
    throw refuse(shown, "is not valid YAML", error);
  }
  const { data, error } = schema.safeParse(value);
  if (data === undefined) {
    const [issue] = error.issues;
    throw refuse(shown, `is no lock file of version ${VERSION} (${issue?.path.join(".")}: ${issue?.message})`, error);
  }
  return new Map(Object.entries(data.skills));
}

function refuse(shown: string, problem: string, cause: unknown): CliError {
  return new CliError("failed", `${shown} ${problem}: make it anew with \`stigmer skill lock\``, { cause });
}

/** What changed from one lock to another, one line each. */
export function compareLocks(before: Lock, now: Lock): string[] {
  const lines: string[] = [];
  const list = (names: readonly string[]): string => (names.length > 0 ? names.toSorted().join(", ") : "nothing");
  for (const key of [...new Set([...before.keys(), ...now.keys()])].toSorted()) {
    const [was, is] = [before.get(key), now.get(key)];
    if (was === undefined) lines.push(`+ ${key}: ${is?.digest}`);
    else if (is === undefined) lines.push(`- ${key}: nobody asks for it any more`);
    else {
      if (was.digest !== is.digest) lines.push(`~ ${key}: ${was.digest} is now ${is.digest}`);
      if (list(was.requires) !== list(is.requires))
        lines.push(`~ ${key}: required ${list(was.requires)}, now ${list(is.requires)}`);
      if (list(was.usedBy) !== list(is.usedBy))
        lines.push(`~ ${key}: used by ${list(was.usedBy)}, now ${list(is.usedBy)}`);
    }
  }
  return lines;
}
