// The programs of this machine that the driver is made of.
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { SandboxError } from "../errors.ts";

/** By Debian's names of the packages they come from. */
const packages = { bwrap: "bubblewrap", nsenter: "util-linux", setpriv: "util-linux", prlimit: "util-linux" } as const;

export type Programs = Readonly<Record<keyof typeof packages, string>>;

/** Their absolute paths, from directories in the form of PATH. Throws `backend-unavailable` with what to install. */
export async function findPrograms(path: string): Promise<Programs> {
  const names = Object.keys(packages) as (keyof typeof packages)[];
  const found = await Promise.all(names.map((name) => find(name, path)));
  return Object.fromEntries(
    names.map((name, at) => {
      const program = found[at];
      if (program === undefined) throw missing(name);
      return [name, program];
    }),
  ) as unknown as Programs;
}

async function find(name: string, path: string): Promise<string | undefined> {
  for (const directory of path.split(delimiter)) {
    const candidate = join(directory, name);
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not here.
    }
  }
  return undefined;
}

function missing(name: keyof typeof packages): SandboxError {
  const what = packages[name];
  return new SandboxError(
    "backend-unavailable",
    `The isolated backend needs ${name}, which is not installed: install ${what}: apt-get install ${what}`,
  );
}
