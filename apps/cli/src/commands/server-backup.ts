import { resolve } from "node:path";
import { createBackup } from "@stigmer/server";
import type { CommandIo } from "../command-io.ts";
import { showBytes } from "../output/bytes.ts";
import { writeLine } from "../output/write.ts";
import { findServerData, interruptible } from "./server-data.ts";

export interface ServerBackupOptions {
  readonly file: string;
  /** Replaces a file that is there. */
  readonly force?: boolean;
}

/** Makes one file of what the server and the runner of this machine keep. Both may be at work. */
export async function serverBackup({ file, force = false }: ServerBackupOptions, io: CommandIo): Promise<void> {
  const { homes, encryptionKey, keyPlace } = findServerData(io.env, "pg_dump");
  const { dataDir } = homes;
  const path = resolve(io.cwd, file);
  const made = await interruptible(io, (signal) =>
    createBackup({ dataDir, file: path, overwrite: force, encryptionKey, signal }),
  );
  const skills = made.parts.filter(({ name }) => name.startsWith("artifacts/")).length;
  const conversations = made.parts.some(({ name }) => name === "checkpoints.db");
  writeLine(
    io.stdout,
    `Backed up ${dataDir} to ${path}: ${showBytes(made.bytes)}, ${skills} skill ${skills === 1 ? "archive" : "archives"}, ${conversations ? "conversations included" : "no conversations yet"}.`,
  );
  if (made.keyFingerprint !== null) {
    writeLine(io.stderr, `The key is not in it: secrets in it can only be read with ${keyPlace}, keep that apart.`);
  }
  for (const key of made.missingArtifacts) {
    writeLine(io.stderr, `A skill's archive was lost before, and is not in it: ${key}. Push that skill again.`);
  }
}
