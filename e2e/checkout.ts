import { chmod, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { repository } from "./stigmer.ts";

export interface Checkout {
  /** Everything of the repository under its own name, and room for more that the repository never sees. */
  readonly directory: string;
  /** For PATH: an `npx` that does what `npx -y pnpm@12` does here, without npm's registry and pnpm's own start. */
  readonly path: readonly string[];
}

/** What someone has who cloned the repository, below `home`. */
export async function makeCheckout(home: string): Promise<Checkout> {
  const [directory, bin] = [join(home, "checkout"), join(home, "checkout-bin")];
  for (const folder of [directory, bin]) await mkdir(folder);
  const names = (await readdir(repository)).filter((name) => name !== ".git");
  await Promise.all(names.map((name) => symlink(join(repository, name), join(directory, name))));
  await writeFile(join(bin, "npx"), NPX);
  await chmod(join(bin, "npx"), 0o755);
  return { directory, path: [bin, dirname(process.execPath)] };
}

const NPX = `#!/usr/bin/env bash
set -eu
[ "$1 $2" = "-y pnpm@12" ] || { echo "only pnpm is there, not $*" >&2; exit 1; }
name=$3
shift 3
export PATH="$PWD/node_modules/.bin:$PATH"
[ "$name" != exec ] || exec "$@"
script=$(node -p 'JSON.parse(fs.readFileSync("package.json")).scripts[process.argv[1]] ?? ""' "$name")
[ -n "$script" ] || { echo "package.json has no script $name" >&2; exit 1; }
exec bash -c "exec $script \\"\\$@\\"" "$name" "$@"
`;
