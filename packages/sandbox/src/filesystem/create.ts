// The filesystem driver: commands run on the host, in a directory of it. For work that is trusted.
import { existsSync, realpathSync } from "node:fs";
import { mkdir, realpath, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { assertSupported } from "../capabilities.ts";
import { SandboxError } from "../errors.ts";
import { checkEnvironment } from "../execute-options.ts";
import type { CommonSandboxOptions, Sandbox, SandboxFiles } from "../sandbox.ts";
import { filesystemCapabilities } from "./capabilities.ts";
import { createCommandHost } from "../host-processes/command-host.ts";
import { commandEnvironment, type InheritEnv } from "../host-processes/environment.ts";
import { toFileError } from "../host-files/file-error.ts";
import { createFiles } from "../host-files/files.ts";

export interface FilesystemSandboxOptions extends CommonSandboxOptions {
  /** The directory that commands run in and files live in. Made when it is missing, and never deleted. */
  readonly rootDir: string;
  /**
   * What else commands see of the host's environment. `"all"` (default) leaves out Stigmer's own variables and the keys
   * of model providers; `"minimal"` takes PATH, HOME, the locale and the like; `"none"` nothing.
   */
  readonly inheritEnv?: InheritEnv;
  /** Names that are not inherited either, for example of secrets that belong to another agent. */
  readonly withheld?: readonly string[];
  /** The environment to inherit from. Default: that of this process. */
  readonly hostEnv?: Readonly<Record<string, string | undefined>>;
  /** The shell that commands are given to with `-c`. Default `/bin/sh`. */
  readonly shell?: string;
}

/** Throws `unsupported` for a policy or a limit, of which it keeps none. */
export async function checkFilesystemBackend(options: Omit<FilesystemSandboxOptions, "rootDir" | "id">): Promise<void> {
  assertSupported(options, filesystemCapabilities(), "filesystem");
}

/** Throws `SandboxError` when the directory can't be made or used, and `invalid-argument` for bad options. */
export async function createFilesystemSandbox(options: FilesystemSandboxOptions): Promise<Sandbox> {
  if (typeof options.rootDir !== "string" || options.rootDir === "") {
    throw new SandboxError("invalid-argument", "Expected rootDir to be the path of a directory, got none.");
  }
  assertSupported(options, filesystemCapabilities(), "filesystem");
  const rootDir = resolve(options.rootDir);
  const root = await prepareRoot(rootDir);
  const id = `filesystem:${root}`;
  if (options.id !== undefined && options.id !== id) {
    throw new SandboxError("sandbox-gone", `There is no sandbox ${options.id} in ${root}. Make a new one.`);
  }
  const env = commandEnvironment(options.hostEnv ?? hostEnvironment(), {
    inheritEnv: options.inheritEnv ?? "all",
    withheld: options.withheld ?? [],
    env: checkEnvironment(options.env ?? {}, "env"),
  });

  const host = await createCommandHost({
    name: `in ${root}`,
    shell: options.shell ?? "/bin/sh",
    env,
    async launch(asked) {
      const cwd = await realDirectory(files.resolve(asked), { root, asked });
      return { file: options.shell ?? "/bin/sh", args: [], hasParent: false, before: "", cwd };
    },
    guarded: true,
    isGone: () => !existsSync(root),
  });
  const files: SandboxFiles = createFiles({
    location: root,
    roots: root === rootDir ? [root] : [root, rootDir],
    assertUsable: host.assertUsable,
  });

  return {
    id,
    backend: "filesystem",
    capabilities: filesystemCapabilities({ tracksEscapes: host.tracksEscapes }),
    root,
    files,
    execute: host.execute,
    spawn: host.spawn,
    processes: host.processes,
    process: host.process,
    dispose: () => host.end(),
  };
}

async function prepareRoot(rootDir: string): Promise<string> {
  try {
    await mkdir(rootDir, { recursive: true });
    // The system has just walked the path: it takes microseconds, where a thread of the pool on a busy machine takes up to a millisecond to begin.
    return realpathSync.native(rootDir);
  } catch (error) {
    throw toFileError(error, rootDir);
  }
}

/** Where the command is to run, all links resolved. Commands are not confined here: this only catches mistakes. */
async function realDirectory(path: string, place: { readonly root: string; readonly asked: string }): Promise<string> {
  // A root that is gone is what happened to the command, not a mistake of the caller.
  if (path === place.root) return path;
  try {
    const real = await realpath(path);
    if (real !== place.root && !real.startsWith(`${place.root}/`)) {
      throw Object.assign(new Error("leads out of the root"), { code: "ELOOP" });
    }
    if (!(await stat(real)).isDirectory()) throw Object.assign(new Error("not a directory"), { code: "ENOTDIR" });
    return real;
  } catch (error) {
    throw toFileError(error, place.asked);
  }
}

/** The only place below `packages/config` that reads it: inheriting it is what this driver is for. */
function hostEnvironment(): NodeJS.ProcessEnv {
  // oxlint-disable-next-line node/no-process-env
  return process.env;
}
