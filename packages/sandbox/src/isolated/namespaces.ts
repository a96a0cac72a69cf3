// The namespaces of one sandbox, held by a process that does nothing, and joined by its commands. One set for all of them,
// not one for each command: a server that one command starts can be reached and stopped by the next, /tmp lasts, and joining
// costs half of what making costs. They end, with everything in them, when this process does.
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readlinkSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { SandboxError } from "../errors.ts";
import { readProcess, readProcessTable, type ProcessEntry } from "../host-processes/process-table.ts";
import { userFiles, userId } from "./mounts.ts";

export interface NamespacesOptions {
  readonly bwrap: string;
  readonly shell: string;
  /** From `mountArguments`. */
  readonly mounts: readonly string[];
  readonly ownNetwork: boolean;
}

export interface Namespaces {
  /** nsenter's arguments to join them. */
  readonly join: readonly string[];
  /** nsenter's arguments to join those that say what may be reached: the network, as the user who owns it. */
  readonly joinNetwork: readonly string[];
  isAlive(): boolean;
  /** Whether a process of this machine runs in them. */
  contains(pid: number): boolean;
  /** Kills everything in them, and resolves when it is gone. */
  end(): Promise<void>;
}

const startDeadlineMs = 30_000;
const lastWordsMs = 100;
const endDeadlineMs = 5000;
const kinds = { user: "user", mnt: "mount", pid: "pid", ipc: "ipc", uts: "uts", net: "net" } as const;

/** Throws `backend-unavailable` with what bubblewrap says when the machine does not let it make them. */
export async function createNamespaces(options: NamespacesOptions): Promise<Namespaces> {
  const args = [
    ["--unshare-user", "--uid", String(userId), "--gid", String(userId)],
    ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox"],
    options.ownNetwork ? ["--unshare-net"] : [],
    ["--die-with-parent"],
    options.mounts,
    ["--info-fd", "4"],
  ].flat();
  // Not on its command line, which the sandbox sees: what lies where on this machine is nobody's business there.
  const child = spawn(options.bwrap, ["--args", "3", "--", options.shell, "-c", "echo ready; read -r line"], {
    cwd: "/",
    env: { PATH: "/usr/bin:/bin" },
    detached: true,
    stdio: ["pipe", "pipe", "pipe", "pipe", "pipe", "pipe", "pipe"],
  });
  const exited = Promise.withResolvers<void>();
  let ended: Promise<void> | undefined;
  let alive = true;
  const lost = (): void => {
    alive = false;
    exited.resolve();
  };
  child.once("exit", lost);
  child.once("error", lost);
  try {
    for (const [fd, text] of [args.join("\0"), ...userFiles].entries()) give(child, fd === 0 ? 3 : fd + 4, text);
    const first = await started(child, exited.promise);
    const holder = readProcessTable().find(({ parent }) => parent === first);
    const open = openNamespaces(first, options.ownNetwork);
    unref(child);
    return {
      ...open,
      // That it is dead shows here before bubblewrap has told.
      isAlive: () => alive && isHeld(holder),
      end() {
        ended ??= (async () => {
          // Someone waits for this now.
          child.ref();
          // The first process takes all others of its namespace with it; bubblewrap waits for that.
          if (alive) killFirst(first);
          await Promise.race([exited.promise, delay(endDeadlineMs, undefined, { ref: false })]);
          child.kill("SIGKILL");
          child.stdin?.destroy();
          await exited.promise;
          open.close();
        })();
        return ended;
      },
    };
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

function give(child: ChildProcess, fd: number, text: string): void {
  const pipe = child.stdio[fd] as Writable;
  pipe.on("error", () => {});
  pipe.end(text);
}

/** The number of the first process in them, once everything is mounted. */
async function started(child: ChildProcess, exited: Promise<void>): Promise<number> {
  let said = "";
  child.stderr?.on("data", (bytes: Buffer) => {
    said = (said + bytes.toString()).slice(-2000);
  });
  // Two pipes: either can be read first.
  const [ready, numbered] = [Promise.withResolvers<void>(), Promise.withResolvers<number>()];
  child.stdout?.once("data", () => ready.resolve());
  let info = "";
  (child.stdio[4] as Readable).on("data", (bytes: Buffer) => {
    info += bytes.toString();
    const number = /"child-pid"\s*:\s*(\d+)\D/.exec(info)?.[1];
    if (number !== undefined) numbered.resolve(Number(number));
  });
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(late.resolve, startDeadlineMs, undefined);
  // What it says can be read after its end only.
  const failed = exited.then(() => delay(lastWordsMs, undefined));
  const first = await Promise.race([Promise.all([numbered.promise, ready.promise]), late.promise, failed]);
  clearTimeout(timer);
  if (first !== undefined) return first[0];
  const reason = said.trim() || `it ended, or was not ready after ${startDeadlineMs} ms`;
  throw new SandboxError(
    "backend-unavailable",
    `bubblewrap can't make a sandbox on this machine: ${reason}. It needs user namespaces: in a container allow them, on ` +
      "Ubuntu 24.04 and later set kernel.apparmor_restrict_unprivileged_userns=0, or use another backend.",
  );
}

/**
 * Kept open: a number of a process can become a stranger's, and commands would then join the namespaces of this machine. An
 * open namespace stays what it is; when its first process is dead, none can be started in it.
 */
function openNamespaces(
  first: number,
  ownNetwork: boolean,
): Pick<Namespaces, "join" | "joinNetwork" | "contains"> & { close(): void } {
  const files = new Map<keyof typeof kinds, number>();
  for (const kind of Object.keys(kinds) as (keyof typeof kinds)[]) {
    if (kind === "net" && !ownNetwork) continue;
    files.set(kind, openSync(`/proc/${first}/ns/${kind}`, "r"));
  }
  const inode = readlinkSync(`/proc/${first}/ns/pid`);
  const enter = (wanted: readonly (keyof typeof kinds)[]): string[] => [
    ...[...files]
      .filter(([kind]) => wanted.includes(kind))
      .map(([kind, fd]) => `--${kinds[kind]}=/proc/${process.pid}/fd/${fd}`),
    "--preserve-credentials",
  ];
  return {
    join: enter(["user", "mnt", "pid", "ipc", "uts", "net"]),
    joinNetwork: enter(["user", "net"]),
    contains(pid) {
      try {
        return readlinkSync(`/proc/${pid}/ns/pid`) === inode;
      } catch {
        return false;
      }
    },
    close() {
      for (const fd of files.values()) closeSync(fd);
      files.clear();
    },
  };
}

/** Whether the process that keeps them still runs. */
function isHeld(holder: ProcessEntry | undefined): boolean {
  const now = holder && readProcess(holder.pid);
  return now !== undefined && now.startTime === holder?.startTime && now.state !== "Z" && now.state !== "X";
}

function killFirst(first: number): void {
  try {
    process.kill(first, "SIGKILL");
  } catch {
    // Gone already.
  }
}

/** It does not keep this process running, and ends with it. */
function unref(child: ChildProcess): void {
  child.unref();
  for (const pipe of child.stdio) (pipe as { unref?: () => void } | null)?.unref?.();
}
