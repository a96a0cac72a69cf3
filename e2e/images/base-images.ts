import { execa } from "execa";
import { chmod, copyFile, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { repository } from "../stigmer.ts";
import type { Engine } from "./engine.ts";

/** What the images are built on where there is no registry. */
export interface BaseImages {
  /** Node, tini and git. */
  readonly base: string;
  /** pnpm and this machine's store besides. */
  readonly build: string;
}

/** Makes them from what this machine has: its programs with their libraries, and the store that the checkout was installed from. */
export async function importBaseImages(engine: Engine, pnpmVersion: string): Promise<BaseImages> {
  const images = { base: "stigmer-test-base", build: "stigmer-test-build" };
  const folder = await mkdtemp(join(tmpdir(), "stigmer-images-"));
  try {
    const root = join(folder, "root");
    await makeRoot(root);
    for (const name of ["tini", "git"]) await addProgram(root, await which(name));
    await addProgram(root, process.execPath, "/usr/local/bin/node");
    await addLibraries(root);
    await importFiles({ engine, image: images.base, files: ["-C", root, "."] });

    const pnpm = await findPnpm(pnpmVersion);
    await addProgram(root, pnpm, "/usr/local/bin/pnpm");
    const { stdout: store } = await execa(pnpm, ["store", "path"], { cwd: repository });
    // Where its projects are on this machine is of no use in there.
    const contents = ["-C", dirname(store), `--exclude=${basename(store)}/projects`, basename(store)];
    const moved = `--transform=flags=rh;s,^${basename(store)}(/|$),pnpm/store/${basename(store)}\\1,x`;
    await importFiles({
      engine,
      image: images.build,
      files: [moved, "-C", root, ".", ...contents],
      env: { pnpm_config_store_dir: "/pnpm/store", pnpm_config_offline: "true", pnpm_config_trust_lockfile: "true" },
    });
    return images;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Folders, busybox by all of its names, and two users. */
async function makeRoot(root: string): Promise<void> {
  for (const name of ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr/bin", "var/lib"]) {
    await mkdir(join(root, name), { recursive: true });
  }
  await chmod(join(root, "tmp"), 0o1777);
  await writeFile(join(root, "etc/passwd"), "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n");
  await writeFile(join(root, "etc/group"), "root:x:0:\nnogroup:x:65534:\n");
  // Its links lead to where it is here.
  const busybox = await realpath(await which("busybox"));
  await addProgram(root, busybox);
  await execa(busybox, ["--install", "-s", join(root, "bin")]);
  await symlink("/bin/env", join(root, "usr/bin/env"));
}

/** Copies a program, and the libraries that it is linked with, to where they are on this machine. */
async function addProgram(root: string, program: string, to: string = program): Promise<void> {
  // Fails for what is linked with none.
  const { stdout } = await execa("ldd", [program], { reject: false });
  const libraries = [...stdout.matchAll(/(?:=> |^\s*)(\/\S+)/gm)].map(([, path = ""]) => path);
  for (const [from, into] of [[program, to], ...libraries.map((path) => [path, path])] as [string, string][]) {
    await mkdir(dirname(join(root, into)), { recursive: true });
    await copyFile(from, join(root, into));
  }
}

/** What any image with a C library has, and addons of Node's may be linked with. */
async function addLibraries(root: string): Promise<void> {
  const { stdout } = await execa("ldd", [process.execPath]);
  const folder = dirname(/(\/\S+)\/libc\.so/.exec(stdout)?.[0] ?? "/lib/libc.so");
  for (const name of ["librt.so.1", "libresolv.so.2", "libutil.so.1"]) {
    await copyFile(join(folder, name), join(root, folder, name));
  }
}

async function which(name: string): Promise<string> {
  return (await execa("which", [name])).stdout.trim();
}

/** A program by itself, which npm fetches where it does not have it. */
async function findPnpm(version: string): Promise<string> {
  const { stdout } = await execa("npx", [
    "--yes",
    "--package",
    `pnpm@${version}`,
    "-c",
    "readlink -f $(command -v pnpm)",
  ]);
  return stdout.trim();
}

interface ImportOptions {
  readonly engine: Engine;
  readonly image: string;
  /** Arguments of tar. */
  readonly files: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

async function importFiles({ engine, image, files, env = {} }: ImportOptions): Promise<void> {
  const changes = Object.entries(env).flatMap(([name, value]) => ["--change", `ENV ${name}=${value}`]);
  await execa("tar", ["--create", "--owner=0", "--group=0", ...files], { encoding: "buffer", buffer: false }).pipe(
    "docker",
    ["--host", engine.host, "import", ...changes, "-", image],
  );
}
