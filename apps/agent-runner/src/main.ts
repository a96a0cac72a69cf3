#!/usr/bin/env node
// The process: environment, signals, exit code. What it does is in start.ts.
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { loadDotEnv, readSecretsPipe, secretNames } from "@stigmer/config";
import { parentChannel } from "./process/parent-channel.ts";
import { listenForShutdown } from "./process/shutdown.ts";
import { listenToStandardInput } from "./process/standard-input.ts";
import { hideSqliteWarning } from "./sqlite-warning.ts";
import { FatalError, start } from "./start.ts";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };
const print = (line: string): void => void process.stdout.write(`${line}\n`);

// A report that Node is told to write of a crash would have the keys of the environment in it.
if (process.report !== undefined) process.report.excludeEnv = true;

hideSqliteWarning(process);
const parent = parentChannel(process);
// Of a runner in a container: its daemon holds the other end.
const input = process.env["STIGMER_SECRETS_FD"] === "0" ? listenToStandardInput(process.stdin) : undefined;
const shutdown = listenForShutdown(process, input?.onGone ?? parent.onGone);
try {
  loadDotEnv({ cwd: process.cwd(), entryDir: dirname(import.meta.dirname), env: process.env });
  const secrets = await (input?.secrets ?? readSecretsPipe(process.env));
  await start({
    env: { ...process.env, ...secrets },
    version,
    parent,
    shutdown: shutdown.signal,
    print,
    secretsInEnvironment: [...secretNames].filter((name) => process.env[name]),
  });
} catch (error) {
  const message =
    error instanceof FatalError
      ? error.message
      : `Agent-runner failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
  process.stderr.write(`${message}\n`);
  parent.tell({ type: "failed", message });
  process.exitCode = 1;
} finally {
  shutdown.dispose();
  parent.close();
  input?.close();
}
