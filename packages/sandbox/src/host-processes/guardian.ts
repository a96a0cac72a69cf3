// Ends what commands left running when this process dies without a chance to, be it by SIGKILL. Commands run in process
// groups of their own, so that nothing else would.
import { spawn, type ChildProcess } from "node:child_process";
import type { Socket } from "node:net";
import { guardianScript, type GuardianEntry } from "./guardian-script.ts";

/** A guardian that can't be started, or dies, is not replaced more often than this. */
const restartAfterMs = 10_000;

export interface GuardianChange {
  readonly hold?: readonly GuardianEntry[];
  readonly drop?: readonly GuardianEntry[];
}

export interface Guardian {
  /**
   * Says what to kill when this process dies, and what no longer. Never throws and never waits: without guardian, commands
   * run as well. Holding what is held already costs nothing, and starts a guardian that died again. The guardian's process starts with the first entry held and ends with the last one dropped.
   */
  update(change: GuardianChange): void;
}

export interface GuardianOptions {
  readonly shell?: string;
  readonly restartAfterMs?: number;
}

/**
 * A guardian of its own; sandboxes share the one below.
 * @internal
 */
export function createGuardian(options?: GuardianOptions): Guardian {
  const held = new Set<GuardianEntry>();
  let current: ChildProcess | undefined;
  let startableAt = 0;

  const start = (): void => {
    const now = performance.now();
    if (now < startableAt) return;
    startableAt = now + (options?.restartAfterMs ?? restartAfterMs);
    try {
      current = startGuardian(options?.shell ?? "/bin/sh", (lost) => {
        if (current === lost) current = undefined;
      });
      current.stdin?.write(line("+", held));
    } catch {
      current = undefined;
    }
  };

  return {
    update({ hold = [], drop = [] }) {
      for (const entry of drop) held.delete(entry);
      const added = hold.filter((entry) => !held.has(entry));
      for (const entry of added) held.add(entry);
      if (current === undefined) {
        if (hold.length > 0) start();
        return;
      }
      const lines = line("-", drop) + line("+", added);
      if (held.size > 0) {
        if (lines !== "") current.stdin?.write(lines);
        return;
      }
      current.stdin?.end(lines);
      current = undefined;
      startableAt = 0;
    },
  };
}

/** The guardian of this process: one for all its sandboxes. */
export const hostGuardian: Guardian = createGuardian();

/**
 * In a session of its own, out of reach of the terminal's Ctrl-C; without this process's environment and directory. Only
 * this process has the other end of the pipe: Node opens it close-on-exec, so that no command inherits it.
 */
function startGuardian(shell: string, onLost: (guardian: ChildProcess) => void): ChildProcess {
  const child = spawn(shell, ["-c", guardianScript, "sandbox-guardian"], {
    cwd: "/",
    env: { PATH: "/bin:/usr/bin", LC_ALL: "C" },
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const lost = (): void => {
    child.stdin?.destroy();
    onLost(child);
  };
  child.once("error", lost);
  child.once("exit", lost);
  child.stdin?.on("error", lost);
  child.unref();
  (child.stdin as Socket | null)?.unref();
  return child;
}

function line(verb: "+" | "-", entries: Iterable<GuardianEntry>): string {
  const joined = [...entries].join(" ");
  return joined === "" ? "" : `${verb} ${joined}\n`;
}
