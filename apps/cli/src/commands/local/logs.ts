import { watch } from "node:fs";
import { join } from "node:path";
import { resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { type Color, createPaint } from "../../output/colors.ts";
import { createLogReader, type LogLine, merged } from "./log-reader.ts";

export interface LocalLogsOptions {
  readonly component?: string;
  readonly follow?: boolean;
  /** Only so many of the last lines, and what follows on them. Default: all. */
  readonly tail?: number;
}

const colors: Readonly<Record<string, Color>> = {
  daemon: "yellow",
  "stigmer-server": "cyan",
  "agent-runner": "magenta",
  temporal: "blue",
};
const components = Object.keys(colors);

/** Writes what the processes logged, in the order of time; with `follow`, goes on until Ctrl-C. */
export async function localLogs({ component, follow, tail }: LocalLogsOptions, io: CommandIo): Promise<void> {
  if (component !== undefined && !components.includes(component)) {
    throw new CliError("usage", `There is no component "${component}". Known: ${components.join(", ")}.`);
  }
  const { logsDir } = resolveHome(io.env);
  const names = component === undefined ? components : [component];
  const readers = names.map((name) => createLogReader(name, join(logsDir, `${name}.log`)));
  const paint = createPaint(io.stdout, io.env);
  const write = async ({ component, text }: LogLine): Promise<void> => {
    const prefix = names.length > 1 ? `${paint(colors[component] ?? "reset", `${component} |`)} ` : "";
    if (!io.stdout.write(`${prefix}${text}\n`)) await new Promise((resolve) => io.stdout.once("drain", resolve));
  };
  const last: LogLine[] = [];
  for await (const line of merged(readers)) {
    if (tail === undefined) await write(line);
    else if (last.push(line) > tail) last.shift();
  }
  for (const line of last) await write(line);
  if (!readers.some(({ found }) => found)) {
    throw new CliError(
      "failed",
      `There are no logs of ${names.join(", ")} in ${logsDir} yet: start with \`stigmer local start\`.`,
    );
  }
  if (!follow) return;
  const showNew = async (): Promise<void> => {
    for await (const line of merged(readers)) await write(line);
  };

  const stopped = Promise.withResolvers<void>();
  const stopListening = io.onSignal(() => stopped.resolve());
  // One at a time: a change may come while the one before is being written.
  let showing: Promise<unknown> = Promise.resolve();
  const showNext = (): void => {
    showing = showing.then(showNew).catch((error: unknown) => stopped.reject(error));
  };
  const watcher = watch(logsDir, (_event, name) => {
    if (names.some((each) => `${each}.log` === name)) showNext();
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
