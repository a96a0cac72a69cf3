import { dirname, resolve } from "node:path";
import { restoreBackup, type RestoredBackup } from "@stigmer/server";
import type { CommandIo } from "../command-io.ts";
import { findDaemon } from "../daemon/find-daemon.ts";
import { makeDirectory } from "../daemon/make-directory.ts";
import { CliError } from "../errors.ts";
import { writeLine } from "../output/write.ts";
import { findServerData, interruptible, type ServerData } from "./server-data.ts";

export interface ServerRestoreOptions {
  readonly file: string;
  /** Moves what is in the data directory aside. */
  readonly force?: boolean;
}

/** Makes the data directory what it was when the backup was made. */
export async function serverRestore({ file, force = false }: ServerRestoreOptions, io: CommandIo): Promise<void> {
  const data = findServerData(io.env, "pg_restore");
  const { homes, encryptionKey } = data;
  const { home, dataDir } = homes;
  const daemon = await findDaemon(homes);
  if (daemon) {
    const text = `Stigmer runs in ${home} (PID ${daemon.pid}): stop it with \`stigmer local stop\` first.`;
    throw new CliError("failed", text);
  }
  try {
    makeDirectory(dirname(dataDir));
  } catch (cause) {
    throw new CliError("failed", `Cannot write to ${dirname(dataDir)}: ${(cause as Error).message}`, { cause });
  }
  const restored = await interruptible(io, (signal) =>
    restoreBackup({ file: resolve(io.cwd, file), dataDir, replace: force, encryptionKey, signal }),
  );
  const { version, takenAt, aside, key } = restored;
  writeLine(io.stdout, `Restored ${dataDir} as it was at ${takenAt}, written by stigmer ${version}.`);
  if (aside !== undefined) writeLine(io.stdout, `What it held before is in ${aside}.`);
  const warning = warnOfKey(key, data);
  if (warning !== undefined) writeLine(io.stderr, warning);
}

function warnOfKey(key: RestoredBackup["key"], { keyPlace, encryptionKey }: ServerData): string | undefined {
  switch (key) {
    case "missing":
      return `Secrets can't be read without their key: put it in ${keyPlace} before the server starts, which makes a new one otherwise.`;
    case "differs": {
      const place = encryptionKey ? `the key in ${keyPlace}` : keyPlace;
      return `Secrets can't be read: ${place} is another key than the one that they were sealed with. Put that one there.`;
    }
    case "same":
    case "none":
      return undefined;
  }
}
