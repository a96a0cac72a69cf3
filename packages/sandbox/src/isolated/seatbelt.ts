// Isolation on macOS, by the system's own sandbox-exec. A profile says what commands may do; nothing can be mounted, so that
// the workspace goes by its own name.
import { access, constants, realpath } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { SandboxError } from "../errors.ts";
import type { Findings, IsolatedMeans, MeansOptions } from "./means.ts";
import { quote } from "./quote.ts";

const program = "/usr/bin/sandbox-exec";
const path = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

export async function findings(): Promise<Findings> {
  try {
    await access(program, constants.X_OK);
  } catch (cause) {
    const message = `The isolated backend needs ${program}, which every macOS has, and this one has not.`;
    throw new SandboxError("backend-unavailable", message, { cause });
  }
  return { platform: "darwin", limits: [] };
}

export async function createMeans(options: MeansOptions): Promise<IsolatedMeans> {
  const temporary = await realpath(await mkdtemp(join(tmpdir(), "sandbox-")));
  const profile = seatbeltProfile({
    workspace: options.location,
    temporary,
    home: homedir(),
    readOnlyPaths: options.readOnlyPaths ?? [],
    hiddenPaths: options.hiddenPaths ?? [],
    network: options.network?.type === "full",
  });
  return {
    root: options.location,
    env: {
      PATH: path,
      HOME: temporary,
      TMPDIR: temporary,
      USER: "sandbox",
      LOGNAME: "sandbox",
      SHELL: options.shell,
      LANG: "C.UTF-8",
    },
    launch: async (cwd) => ({
      file: program,
      args: ["-p", profile, options.shell],
      hasParent: false,
      before: cwd === options.location ? "" : `cd ${quote(cwd)}||exit 126;`,
      cwd: options.location,
    }),
    guarded: true,
    end: () => rm(temporary, { recursive: true, force: true }),
  };
}

export interface SeatbeltOptions {
  /** All paths absolute, links resolved: Seatbelt compares real paths. */
  readonly workspace: string;
  readonly temporary: string;
  readonly home: string;
  readonly readOnlyPaths: readonly string[];
  readonly hiddenPaths: readonly string[];
  /** Whether commands may reach the network. */
  readonly network: boolean;
}

/** In Seatbelt's language the last rule that matches counts. */
export function seatbeltProfile(options: SeatbeltOptions): string {
  const subpath = (place: string): string => `(subpath ${literal(place)})`;
  const writable = [options.workspace, options.temporary].map(subpath).join(" ");
  const hidden = [
    "/Users",
    "/Volumes",
    "/private/var/root",
    "/private/var/run",
    "/private/var/folders",
    "/private/tmp",
  ];
  return [
    "(version 1)",
    "(deny default)",
    "(allow process-fork process-exec process-info* sysctl-read mach-lookup ipc-posix-shm* ipc-posix-sem)",
    "(allow signal (target same-sandbox))",
    "(allow file-read*)",
    `(deny file-read* ${[...hidden, options.home, ...options.hiddenPaths].map(subpath).join(" ")})`,
    `(deny file-read* ${["/private/etc/master.passwd", "/private/etc/ssh"].map(subpath).join(" ")})`,
    // Programs look at the directories above the one they are in.
    "(allow file-read-metadata)",
    ...(options.readOnlyPaths.length > 0 ? [`(allow file-read* ${options.readOnlyPaths.map(subpath).join(" ")})`] : []),
    `(allow file-read* file-write* ${writable})`,
    ...(options.hiddenPaths.length > 0
      ? [`(deny file-read* file-write* ${options.hiddenPaths.map(subpath).join(" ")})`]
      : []),
    '(allow file-read* file-write-data file-ioctl (literal "/dev/null") (literal "/dev/zero") (literal "/dev/tty"))',
    // Without network not even localhost: it is that of the whole machine.
    ...(options.network ? ["(allow network*)"] : []),
  ].join("\n");
}

function literal(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
