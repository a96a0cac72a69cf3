import { glob, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** What is read of a package.json here; `exports` and `bin` are paths within the package. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}

export interface PublicPackage {
  /** From the repository's root. */
  readonly directory: string;
  readonly manifest: Manifest;
}

/** Every package that npm gets, each behind those that it needs: what is there can be installed at any time. */
export async function publicPackages(root: string): Promise<readonly PublicPackage[]> {
  const found = new Map<string, PublicPackage>();
  for (const path of (await Array.fromAsync(glob("{packages,apps}/*/package.json", { cwd: root }))).toSorted()) {
    const manifest = JSON.parse(await readFile(join(root, path), "utf8")) as Manifest;
    if (!manifest.private) found.set(manifest.name, { directory: dirname(path), manifest });
  }
  const ordered = new Set<PublicPackage>();
  const visit = (each: PublicPackage): void => {
    for (const name of Object.keys(each.manifest.dependencies ?? {})) {
      const needed = found.get(name);
      if (needed !== undefined && !ordered.has(needed)) visit(needed);
    }
    ordered.add(each);
  };
  for (const each of found.values()) visit(each);
  return [...ordered];
}
