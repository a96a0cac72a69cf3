// What a command in the sandbox sees of the file system: the machine's programs, read-only, and nothing else of it but the
// workspace. Allowed by name rather than denied by name: a secret in a place that nobody thought of is not there either.
import { lstat, readdir, readlink, realpath } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { toFileError } from "../host-files/file-error.ts";

export const workspace = "/workspace";
export const home = "/tmp/home";
export const userId = 1000;

/** Where systems keep programs, libraries and what configures them. Home directories, /run, /var, /srv, /mnt are not. */
const systemDirectories = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt", "nix", "gnu", "snap"];
/** In these, what is not readable by everyone is hidden: keys and passwords that this user happens to be able to read. */
const secretDirectories = [
  { path: "/etc", depth: 8, deeper: "hide" },
  { path: "/opt", depth: 3, deeper: "show" },
] as const;

const devices = ["null", "zero", "full", "random", "urandom", "tty"];

export interface MountOptions {
  /** The workspace on this machine. */
  readonly rootDir: string;
  readonly readOnlyPaths: readonly string[];
  readonly hiddenPaths: readonly string[];
  /** Whether names are to be resolved in it. */
  readonly resolvesNames: boolean;
}

/** bubblewrap's arguments, in the order they are carried out. File descriptors 5 and 6 hold passwd and group. */
export async function mountArguments(options: MountOptions): Promise<string[]> {
  const memory = String(Math.floor(totalmem() / 4));
  const system: string[] = [];
  for (const name of systemDirectories) system.push(...(await systemDirectory(`/${name}`)));
  const machine = await machineInProc();
  const secrets = await findSecrets();
  const hidden: string[] = [];
  for (const path of [...secrets, ...options.hiddenPaths]) hidden.push(...(await hide(path)));
  const readable: string[] = [];
  for (const path of options.readOnlyPaths) {
    const real = await realpath(path).catch((error: unknown) => {
      throw toFileError(error, path);
    });
    readable.push("--ro-bind", real, path);
  }
  return [
    system,
    options.resolvesNames ? await resolverFile() : [],
    ["--ro-bind-data", "5", "/etc/passwd", "--ro-bind-data", "6", "/etc/group"],
    ["--proc", "/proc", ...machine, "--tmpfs", "/dev"],
    devices.flatMap((name) => ["--dev-bind", `/dev/${name}`, `/dev/${name}`]),
    ["--symlink", "/proc/self/fd", "/dev/fd"],
    ["stdin", "stdout", "stderr"].flatMap((name, fd) => ["--symlink", `/proc/self/fd/${fd}`, `/dev/${name}`]),
    ["--dir", "/dev/shm", "--remount-ro", "/dev", "--size", memory, "--tmpfs", "/dev/shm"],
    ["--perms", "1777", "--size", memory, "--tmpfs", "/tmp", "--dir", home],
    ["--dir", "/run", "--dir", "/var", "--symlink", "../tmp", "/var/tmp"],
    readable,
    hidden,
    ["--bind", options.rootDir, workspace, "--remount-ro", "/", "--chdir", workspace],
  ].flat();
}

/** What /etc/passwd and /etc/group say: programs want a name for the user, and the machine's users are nobody's business. */
export const userFiles: readonly [passwd: string, group: string] = [
  `root:x:0:0:root:/:/usr/sbin/nologin\nsandbox:x:${userId}:${userId}::${home}:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n`,
  `root:x:0:\nsandbox:x:${userId}:\nnogroup:x:65534:\n`,
];

async function systemDirectory(path: string): Promise<string[]> {
  try {
    const stats = await lstat(path);
    if (stats.isSymbolicLink()) return ["--symlink", await readlink(path), path];
    return stats.isDirectory() ? ["--ro-bind", path, path] : [];
  } catch {
    return [];
  }
}

/** It often leads into /run, which is not there. */
async function resolverFile(): Promise<string[]> {
  const real = await realpath("/etc/resolv.conf").catch(() => undefined);
  return real === undefined || real.startsWith("/etc/") ? [] : ["--ro-bind", real, real];
}

/**
 * What /proc tells of the machine rather than of processes: its directories read-only, and neither files that can be written
 * nor those that not everyone may read. Root without any capability still owns them, and /proc/sys/kernel/core_pattern alone
 * would let it run programs outside; bubblewrap covers them only where it could write to the directory itself. That
 * something is covered also keeps commands from mounting another /proc in namespaces of their own.
 */
async function machineInProc(): Promise<string[]> {
  const covers: string[] = [];
  for (const name of await readdir("/proc")) {
    if (/^\d/.test(name)) continue;
    const path = `/proc/${name}`;
    const stats = await lstat(path).catch(() => undefined);
    if (stats?.isDirectory()) covers.push("--ro-bind", path, path);
    else if (stats?.isFile() && ((stats.mode & 0o222) !== 0 || (stats.mode & 0o004) === 0)) {
      covers.push("--ro-bind", "/dev/null", path);
    }
  }
  return covers;
}

async function hide(path: string): Promise<string[]> {
  return isVisible(path) ? cover(path) : [];
}

async function cover(path: string): Promise<string[]> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats === undefined || stats.isSymbolicLink()) return [];
  return stats.isDirectory() ? ["--tmpfs", path, "--remount-ro", path] : ["--ro-bind", "/dev/null", path];
}

const isVisible = (path: string): boolean => systemDirectories.some((name) => path.startsWith(`/${name}/`));

let secrets: Promise<string[]> | undefined;

/** Looked for once: what a system keeps secret does not change from hour to hour. */
function findSecrets(): Promise<string[]> {
  secrets ??= (async () => {
    const found: string[] = [];
    for (const { path, depth, deeper } of secretDirectories) await search(path, { depth, deeper, found });
    return found;
  })();
  return secrets;
}

async function search(
  directory: string,
  options: { readonly depth: number; readonly deeper: "hide" | "show"; readonly found: string[] },
): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isSymbolicLink()) continue;
    const stats = await lstat(path).catch(() => undefined);
    if (stats === undefined) continue;
    const wanted = entry.isDirectory() ? 0o005 : 0o004;
    if ((stats.mode & wanted) !== wanted) options.found.push(path);
    else if (!entry.isDirectory()) continue;
    else if (options.depth > 1) await search(path, { ...options, depth: options.depth - 1 });
    else if (options.deeper === "hide") options.found.push(path);
  }
}
