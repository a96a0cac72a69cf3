import { existsSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Homes, resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { daemonFiles, findDaemon } from "../../daemon/find-daemon.ts";
import { acquireLock } from "../../daemon/lock.ts";
import { stopDaemon } from "../../daemon/stop-daemon.ts";
import { unwritableHome } from "../../daemon/unwritable-home.ts";
import { CliError } from "../../errors.ts";
import { withDaemonProgress } from "../local/daemon-progress.ts";
import { promptStreams } from "../../output/prompts.ts";
import { writeLine } from "../../output/write.ts";

export interface ResetOptions {
  /** Does not ask. */
  readonly yes?: boolean;
  /** Stops the daemon first; without it a daemon that runs is refused. */
  readonly stop?: boolean;
  /** Also `config.yaml` and downloaded programs. */
  readonly all?: boolean;
}

// The names that Stigmer gives. All else in its folders is somebody's own and stays.
const IN_DATA =
  /^((stigmer|checkpoints|tool-calls|temporal)\.db(-wal|-shm|-journal)?|server\.lock(-journal)?|encryption\.key|artifacts|spill|before-restore-.+)$/;
const IN_LOGS = /^(daemon|stigmer-server|agent-runner|temporal)\.log(\.\d+)?$/;
// A folder of a session that brought no directory of its own.
const IN_WORKSPACES = /^ses-[0-7][0-9a-hjkmnp-tv-z]{25}$/;
const IN_RUN = /^(daemon\.json(\.\d+)?|daemon\.lock(-journal)?|config\.lock(-journal)?|temporal(\.pid)?)$/;
const IN_BIN = /^temporal(-\d.*)?$/;

/** Deletes what Stigmer keeps on this machine: resources, runs, logs and the workspaces that it made. */
export async function localReset({ yes, stop, all }: ResetOptions, io: CommandIo): Promise<void> {
  const homes = resolveHome(io.env);
  const daemon = await findDaemon(homes);
  if (daemon && !stop) {
    const text = `Stigmer runs in ${homes.home} (PID ${daemon.pid}): stop it with \`stigmer local stop\`, or add --stop.`;
    throw new CliError("failed", text);
  }
  const doomed = findDoomed(homes, all === true);
  if (doomed.length === 0 && !daemon) return writeLine(io.stdout, `There is nothing of Stigmer's in ${homes.home}.`);
  if (!yes) await askFirst(doomed, io);
  if (daemon) await withDaemonProgress({ homes, verb: "Stopping" }, io, () => stopDaemon(homes));
  removeAll(homes, all === true);
  writeLine(io.stdout, `Deleted what Stigmer kept in ${homes.home}.`);
  if (!all && existsSync(homes.configFile)) writeLine(io.stdout, `${homes.configFile} is kept: --all deletes it too.`);
}

async function askFirst(doomed: readonly string[], io: CommandIo): Promise<void> {
  const list = doomed.map((path) => `  ${path}`).join("\n");
  if (!io.stdin.isTTY || !io.stderr.isTTY) {
    throw new CliError("usage", `There is no terminal to ask on: say --yes to delete all agents, runs and logs.`);
  }
  writeLine(io.stderr, `This is deleted, with all agents, runs, secrets and what agents wrote:\n${list}`);
  const { confirm } = await import("@clack/prompts");
  const answer = await confirm({ ...promptStreams(io), message: "Delete it?", initialValue: false });
  if (answer !== true) throw new CliError("interrupted", "Nothing was deleted.");
}

/** The lock keeps a daemon from starting in the middle of it. */
function removeAll(homes: Homes, all: boolean): void {
  try {
    const lock = acquireLock(daemonFiles(homes).lockFile);
    if (!lock) throw new CliError("failed", `A daemon starts in ${homes.home}: stop it with \`stigmer local stop\`.`);
    try {
      // What was made since the question was asked goes too.
      for (const path of findDoomed(homes, all)) {
        if (dirname(path) !== homes.runDir) rmSync(path, { recursive: true, force: true, maxRetries: 3 });
      }
    } finally {
      lock.release();
    }
    for (const path of matching(homes.runDir, IN_RUN)) rmSync(path, { recursive: true, force: true });
  } catch (error) {
    throw CliError.is(error) ? error : unwritableHome(homes, error);
  }
  for (const folder of [homes.dataDir, homes.logsDir, homes.workspacesDir, homes.runDir, homes.binDir]) {
    try {
      // Only an empty one.
      rmdirSync(folder);
    } catch {
      // It never was, or holds what is not Stigmer's.
    }
  }
}

function findDoomed(homes: Homes, all: boolean): string[] {
  return [
    ...matching(homes.dataDir, IN_DATA),
    ...matching(homes.logsDir, IN_LOGS),
    ...matching(homes.workspacesDir, IN_WORKSPACES),
    ...matching(homes.runDir, IN_RUN),
    ...[homes.localKeyFile].filter(existsSync),
    ...(all ? [...matching(homes.binDir, IN_BIN), ...[homes.configFile].filter(existsSync)] : []),
  ];
}

function matching(folder: string, names: RegExp): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => names.test(name))
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}
