import { createReadStream, statSync, watch } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";

export interface LocalLogsOptions {
  readonly component?: string;
  readonly follow?: boolean;
}

const components = ["daemon", "stigmer-server", "agent-runner"] as const;

/** Writes what the processes logged, oldest first in each file; with `follow`, goes on until Ctrl-C. */
export async function localLogs({ component, follow }: LocalLogsOptions, io: CommandIo): Promise<void> {
  if (component !== undefined && !components.some((name) => name === component)) {
    throw new CliError("usage", `There is no component "${component}". Known: ${components.join(", ")}.`);
  }
  const { logsDir } = resolveHome(io.env);
  const names = component === undefined ? components : [component];
  const files = names.map((name) => ({
    file: join(logsDir, `${name}.log`),
    prefix: names.length > 1 ? `${name} | ` : "",
  }));
  const present = files.filter(({ file }) => sizeOf(file) !== undefined);
  if (present.length === 0)
    throw new CliError("failed", `There are no logs in ${logsDir}: nothing was started in this home yet.`);

  const read = new Map<string, number>();
  const show = async ({ file, prefix }: (typeof files)[number]): Promise<void> => {
    const [from, to] = [read.get(file) ?? 0, sizeOf(file) ?? 0];
    // A file that shrank was rotated: begin with the new one.
    const start = to < from ? 0 : from;
    read.set(file, to);
    if (to <= start) return;
    await pipeline(createReadStream(file, { start, end: to - 1, encoding: "utf8" }), prefixLines(prefix), io.stdout, {
      end: false,
    });
  };
  for (const each of present) await show(each);
  if (!follow) return;

  const stopped = Promise.withResolvers<void>();
  const stopListening = io.onSignal(() => stopped.resolve());
  // One at a time: a change may come while the one before is being written.
  let showing = Promise.resolve();
  const watcher = watch(logsDir, (_event, name) => {
    const changed = files.find(({ file }) => file === join(logsDir, name ?? ""));
    if (changed) showing = showing.then(() => show(changed));
  });
  await stopped.promise;
  watcher.close();
  stopListening();
  await showing;
}

function sizeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.size;
}

function prefixLines(prefix: string): (source: AsyncIterable<string>) => AsyncGenerator<string> {
  return async function* (source) {
    let rest = "";
    for await (const chunk of source) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) yield `${prefix}${line}\n`;
    }
    if (rest !== "") yield `${prefix}${rest}\n`;
  };
}
