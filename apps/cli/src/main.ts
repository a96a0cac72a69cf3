#!/usr/bin/env node
import { resolve } from "node:path";
import type { CommandIo } from "./command-io.ts";
import { readVersion } from "./version.ts";

// A reader that has seen enough (`stigmer list agents | head -1`) is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
}

// A report that Node is told to write of a crash would have the keys of the environment in it.
if (process.report !== undefined) process.report.excludeEnv = true;

const args = process.argv.slice(2);
const exitCode = isVersion(args) ? printVersion() : await run();
// A pipe may still hold what was written last.
await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((done) => stream.write("", done))));
process.exit(exitCode);

/** What installers and scripts ask first, and often: answered before anything is loaded. */
function isVersion(words: readonly string[]): boolean {
  return words.length === 1 && ["--version", "-V", "version"].includes(words[0] ?? "");
}

function printVersion(): number {
  process.stdout.write(`${readVersion()}\n`);
  return 0;
}

async function run(): Promise<number> {
  const { hideSqliteWarning, keepHeapSmall, whyNodeIsUnfit } = await import("@stigmer/config/node-process");
  // Before anything else is loaded: what an old Node lacks would be told by the name of a module.
  const unfit = whyNodeIsUnfit(process.versions.node);
  if (unfit) {
    process.stderr.write(`${unfit.line}\n`);
    return 1;
  }
  hideSqliteWarning(process);
  keepHeapSmall();
  const { runCli } = await import("./run-cli.ts");
  return runCli(args, commandIo());
}

function commandIo(): CommandIo {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    cwd: userDirectory(),
    onSignal(listener) {
      const signals = ["SIGINT", "SIGTERM"] as const;
      const stops = signals.map((signal) => {
        const handler = (): void => listener(signal);
        process.on(signal, handler);
        return () => process.off(signal, handler);
      });
      return () => stops.forEach((stop) => stop());
    },
  };
}

/** `pnpm stigmer` runs in the root of the checkout, and says in INIT_CWD where its user is. */
function userDirectory(): string {
  const cwd = process.cwd();
  const checkout = resolve(import.meta.dirname, "../../..");
  return cwd === checkout ? (process.env["INIT_CWD"] ?? cwd) : cwd;
}
