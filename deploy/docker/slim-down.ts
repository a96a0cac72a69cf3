// Takes out of a deployed package what its image does not need. Runs in the build stage: slim-down.ts FOLDER [PACKAGE…]
// leaves out the named dependencies, with all that only they brought.
import { readdir, readlink, realpath, rm } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";

const [folder = "", ...without] = process.argv.slice(2);
const root = await realpath(folder);
const store = join(root, "node_modules/.pnpm");

for (const name of without) await rm(join(root, "node_modules", name));
const kept = await reachable();
for (const entry of await readdir(store)) {
  // `node_modules` there is pnpm's own index, of links to packages that may be gone now.
  if (!kept.has(entry)) await rm(join(store, entry), { recursive: true });
}
for await (const file of files(root)) {
  // For people who write code against a package, or step through it. Our own maps stay: stack traces name the source.
  const ours = file.includes(`${sep}@stigmer${sep}`) || !file.includes(`${sep}node_modules${sep}`);
  if (/\.d\.[cm]?ts(\.map)?$/.test(file) || (!ours && file.endsWith(".map"))) await rm(file);
}
await keepOwnPlatform();

/** The store's folders that the package's own dependencies lead to: there a package's dependencies are links beside it. */
async function reachable(): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  const open = [join(root, "node_modules")];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const link of await linksIn(next)) {
      const target = resolve(dirname(link), await readlink(link));
      const [entry = ".."] = relative(store, target).split(sep);
      if (entry === ".." || found.has(entry)) continue;
      found.add(entry);
      open.push(join(store, entry, "node_modules"));
    }
  }
  return found;
}

async function linksIn(modules: string): Promise<string[]> {
  const entries = await readdir(modules, { withFileTypes: true });
  const links = entries.filter((entry) => entry.isSymbolicLink()).map(({ name }) => join(modules, name));
  const scopes = entries.filter((entry) => entry.isDirectory() && entry.name.startsWith("@"));
  return [...links, ...(await Promise.all(scopes.map(({ name }) => linksIn(join(modules, name))))).flat()];
}

async function* files(directory: string): AsyncGenerator<string> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else if (entry.isFile()) yield path;
  }
}

/** Temporal's native library comes for five platforms, at 30 MB each. */
async function keepOwnPlatform(): Promise<void> {
  const architecture = { x64: "x86_64", arm64: "aarch64" }[process.arch as string];
  for (const entry of await readdir(store)) {
    if (!entry.startsWith("@temporalio+core-bridge@")) continue;
    const releases = join(store, entry, "node_modules/@temporalio/core-bridge/releases");
    for (const platform of await readdir(releases)) {
      if (platform !== `${architecture}-unknown-linux-gnu`) await rm(join(releases, platform), { recursive: true });
    }
  }
}
