import { execa } from "execa";
import { repository } from "../stigmer.ts";

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a tool to its end and answers what it printed; fails with all of it. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await execa(command, args, {
    cwd: options.cwd ?? repository,
    all: true,
    reject: false,
    stdin: "ignore",
    env: { NO_COLOR: "1", FORCE_COLOR: "0", TURBO_TELEMETRY_DISABLED: "1", ...options.env },
  });
  if (result.failed) throw new Error(`${command} ${args.join(" ")}\n${result.all || result.shortMessage}`);
  return result.stdout;
}
