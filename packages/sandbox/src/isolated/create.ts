// The isolated driver: commands run on this machine, shut off from it. By bubblewrap's namespaces on Linux, by Seatbelt on
// macOS.
import { existsSync } from "node:fs";
import { mkdir, realpath } from "node:fs/promises";
import { resolve } from "node:path";
import { assertSupported } from "../capabilities.ts";
import { SandboxError } from "../errors.ts";
import { checkEnvironment } from "../execute-options.ts";
import { toFileError } from "../host-files/file-error.ts";
import { findDirectory } from "../host-files/find-directory.ts";
import { createFiles } from "../host-files/files.ts";
import { createCommandHost } from "../host-processes/command-host.ts";
import type { CommonSandboxOptions, Sandbox } from "../sandbox.ts";
import { isolatedCapabilities } from "./capabilities.ts";
import type { IsolatedMeans, Platform } from "./means.ts";

export interface IsolatedSandboxOptions extends CommonSandboxOptions {
  /**
   * The workspace on this machine: all that commands may write to, besides a private /tmp. Made when it is missing, and
   * never deleted. They see it as /workspace; on macOS, where nothing can be mounted elsewhere, under its own name.
   */
  readonly rootDir: string;
  /** More of this machine that commands may read, for example a toolchain in a home directory. Absolute paths. */
  readonly readOnlyPaths?: readonly string[];
  /** What they may not see even where the system's directories are shown. Absolute paths. */
  readonly hiddenPaths?: readonly string[];
  /** The shell that commands are given to with `-c`. Default `/bin/sh`. */
  readonly shell?: string;
}

/** Throws `SandboxError` `backend-unavailable`, with what to install, `unsupported` and `invalid-argument`. */
export async function createIsolatedSandbox(options: IsolatedSandboxOptions): Promise<Sandbox> {
  if (typeof options.rootDir !== "string" || options.rootDir === "") {
    throw new SandboxError("invalid-argument", "Expected rootDir to be the path of a directory, got none.");
  }
  for (const path of [...(options.readOnlyPaths ?? []), ...(options.hiddenPaths ?? [])]) {
    if (!path.startsWith("/")) {
      throw new SandboxError("invalid-argument", `Expected an absolute path, got ${JSON.stringify(path)}.`);
    }
  }
  const env = checkEnvironment(options.env ?? {}, "env");
  const shell = options.shell ?? "/bin/sh";
  const { createMeans, findings } = await meansOfPlatform();
  const found = await findings();
  assertSupported(options, isolatedCapabilities({ ...found, tracksEscapes: true }), "isolated");

  const rootDir = resolve(options.rootDir);
  const location = await prepareRoot(rootDir);
  const id = `isolated:${location}`;
  if (options.id !== undefined && options.id !== id) {
    throw new SandboxError("sandbox-gone", `There is no sandbox ${options.id} in ${location}. Make a new one.`);
  }
  const means: IsolatedMeans = await createMeans({ ...options, shell, location });
  const roots: [string, ...string[]] =
    means.root === location && rootDir !== location ? [location, rootDir] : [means.root];
  try {
    const host = await createCommandHost({
      name: `in ${location}`,
      shell,
      env: { ...means.env, PYTHONUNBUFFERED: "1", ...env },
      launch: async (asked) => means.launch(await findDirectory(asked, { location, roots })),
      guarded: means.guarded,
      isGone: () => !existsSync(location),
      isInside: means.isInside,
      killAll: means.killAll,
      watch: means.watch,
    });
    const files = createFiles({ location, roots, assertUsable: host.assertUsable });
    return {
      id,
      backend: "isolated",
      capabilities: isolatedCapabilities({ ...found, tracksEscapes: host.tracksEscapes }),
      root: means.root,
      files,
      execute: host.execute,
      spawn: host.spawn,
      processes: host.processes,
      process: host.process,
      async dispose() {
        await host.end();
        await means.end();
      },
    };
  } catch (error) {
    await means.end();
    throw error;
  }
}

/** Throws as `createIsolatedSandbox` does for what this machine lacks or can't keep. */
export async function checkIsolatedBackend(options: Omit<IsolatedSandboxOptions, "rootDir" | "id">): Promise<void> {
  const { findings } = await meansOfPlatform();
  assertSupported(options, isolatedCapabilities({ ...(await findings()), tracksEscapes: true }), "isolated");
}

async function meansOfPlatform(): Promise<Platform> {
  if (process.platform === "linux") return import("./linux.ts");
  if (process.platform === "darwin") return import("./seatbelt.ts");
  throw new SandboxError(
    "backend-unavailable",
    `The isolated backend knows Linux and macOS, not ${process.platform}. Use another backend; on Windows, run in WSL.`,
  );
}

async function prepareRoot(rootDir: string): Promise<string> {
  try {
    await mkdir(rootDir, { recursive: true });
    return await realpath(rootDir);
  } catch (error) {
    throw toFileError(error, rootDir);
  }
}
