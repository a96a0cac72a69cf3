// The filesystem driver: commands run on the host, in a directory of it. For work that is trusted.
import { randomUUID } from "node:crypto";
import { mkdir, realpath, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { assertSupported } from "../capabilities.ts";
import { SandboxError } from "../errors.ts";
import { checkEnvironment, toExecuteRequest } from "../execute-options.ts";
import type { CommonSandboxOptions, Sandbox } from "../sandbox.ts";
import { filesystemCapabilities } from "./capabilities.ts";
import { commandEnvironment, type InheritEnv } from "./environment.ts";
import { toFileError } from "./file-error.ts";
import { createFiles } from "./files.ts";
import { hostGuardian } from "./guardian.ts";
import { killProcesses } from "./process-tree.ts";
import { runCommand, type RunningCommand } from "./run-command.ts";

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

/** By this variable, which each command has with a value of its own, processes are recognised that left their parents. */
const markName = "SANDBOX_PROCESS_MARK";

/** Throws `SandboxError` when the directory can't be made or used, and `invalid-argument` for bad options. */
export async function createFilesystemSandbox(options: FilesystemSandboxOptions): Promise<Sandbox> {
  if (typeof options.rootDir !== "string" || options.rootDir === "") {
    throw new SandboxError("invalid-argument", "Expected rootDir to be the path of a directory, got none.");
  }
  assertSupported(options, filesystemCapabilities, "filesystem");
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

  const token = randomUUID();
  /** How the marks of all commands of this sandbox begin. */
  const ownMark = `${markName}=${token}.` as const;
  const running = new Set<RunningCommand>();
  const leftBehind = new Set<RunningCommand>();
  let started = 0;
  let disposed: Promise<void> | undefined;

  const assertUsable = (): void => {
    if (disposed) throw new SandboxError("sandbox-gone", `The sandbox in ${root} is disposed. Create it again.`);
  };
  const files = createFiles({ roots: root === rootDir ? [root] : [root, rootDir], assertUsable });

  const end = async (): Promise<void> => {
    for (const command of running) command.stop("sandbox-gone");
    await Promise.allSettled([...running].map((command) => command.result));
    if (started === 0) return;
    const known = new Map([...leftBehind].flatMap((command) => [...command.survivors]));
    await killProcesses({ leaders: new Set(), known, mark: ownMark });
    for (const command of leftBehind) command.release();
    hostGuardian.update({ drop: [ownMark] });
  };

  return {
    id,
    backend: "filesystem",
    capabilities: filesystemCapabilities,
    root,
    files,

    async execute(command, executeOptions) {
      assertUsable();
      const request = toExecuteRequest(command, executeOptions);
      const cwd = await realDirectory(files.resolve(request.cwd), { root, asked: request.cwd });
      assertUsable();
      if (started === 0) hostGuardian.update({ hold: [ownMark] });
      const mark = `${token}.${started++}.`;
      const run = runCommand(request, {
        shell: options.shell ?? "/bin/sh",
        cwd,
        root,
        env: { ...env, ...request.env, [markName]: mark },
        mark: `${markName}=${mark}`,
      });
      running.add(run);
      try {
        return await run.result;
      } finally {
        running.delete(run);
        if (run.survivors.size > 0 || run.holdsPipes()) leftBehind.add(run);
      }
    },

    spawn: async () => {
      throw new SandboxError("unsupported", "The filesystem backend has no background processes.");
    },
    processes: async () => [],
    process: async () => undefined,

    dispose() {
      disposed ??= end();
      return disposed;
    },
  };
}

async function prepareRoot(rootDir: string): Promise<string> {
  try {
    await mkdir(rootDir, { recursive: true });
    return await realpath(rootDir);
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
