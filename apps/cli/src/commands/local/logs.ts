import { open, stat } from "node:fs/promises";
import { watch } from "node:fs";
import { basename, join } from "node:path";
import { resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";

export interface LocalLogsOptions {
  readonly component?: string;
  readonly follow?: boolean;
}

const components = ["daemon", "stigmer-server", "agent-runner"] as const;

/** Writes what the processes logged, one file after the other; with `follow`, goes on until Ctrl-C. */
export async function localLogs({ component, follow }: LocalLogsOptions, io: CommandIo): Promise<void> {
  if (component !== undefined && !components.some((name) => name === component)) {
    throw new CliError("usage", `There is no component "${component}". Known: ${components.join(", ")}.`);
  }
  const { logsDir } = resolveHome(io.env);
  const names = component === undefined ? components : [component];
  const logs = names.map((name) => createLogReader(join(logsDir, `${name}.log`), names.length > 1 ? `${name} | ` : ""));
  const showAll = async (): Promise<boolean> => {
    let found = false;
    for (const log of logs) found = (await log.show(io)) || found;
    return found;
  };
  if (!(await showAll())) {
    throw new CliError(
      "failed",
      `There are no logs of ${names.join(", ")} in ${logsDir} yet: start with \`stigmer local start\`.`,
    );
  }
  if (!follow) return;

  const stopped = Promise.withResolvers<void>();
  const stopListening = io.onSignal(() => stopped.resolve());
  // One at a time: a change may come while the one before is being written.
  let showing: Promise<unknown> = Promise.resolve();
  const showNext = (): void => {
    showing = showing.then(showAll).catch(stopped.reject);
  };
  const watcher = watch(logsDir, (_event, name) => {
    if (logs.some(({ file }) => basename(file) === name)) showNext();
  });
  watcher.once("error", stopped.reject);
  // For what came before the watcher.
  showNext();
  try {
    await stopped.promise;
    await showing;
  } finally {
    watcher.close();
    stopListening();
  }
}

interface LogReader {
  readonly file: string;
  /** Writes the whole lines that came since the last time. False when there is no file. */
  show(io: CommandIo): Promise<boolean>;
}

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 10;

function createLogReader(file: string, prefix: string): LogReader {
  let position = 0;
  // The line that is not finished, in bytes: a character may be cut in two.
  let rest: Buffer = Buffer.alloc(0);
  const write = async (bytes: Buffer, io: CommandIo): Promise<void> => {
    const lines = bytes.toString("utf8").split("\n");
    const text = lines.map((line) => `${prefix}${line}\n`).join("");
    if (!io.stdout.write(text)) await new Promise((resolve) => io.stdout.once("drain", resolve));
  };
  return {
    file,
    async show(io) {
      const size = await stat(file).then(
        (stats) => stats.size,
        () => undefined,
      );
      if (size === undefined) return false;
      // It was put aside: this is a new one.
      if (size < position) [position, rest] = [0, Buffer.alloc(0)];
      await using log = await open(file);
      for (;;) {
        const { bytesRead, buffer } = await log.read({ buffer: Buffer.alloc(CHUNK_BYTES), position });
        if (bytesRead === 0) return true;
        position += bytesRead;
        const bytes = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
        const end = bytes.lastIndexOf(NEWLINE);
        rest = bytes.subarray(end + 1);
        if (end >= 0) await write(bytes.subarray(0, end), io);
      }
    },
  };
}
