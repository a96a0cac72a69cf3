import { createRequire } from "node:module";
import { join } from "node:path";
import { loadDotEnv, readSecretsPipe, secretNames } from "@stigmer/config";
import { FatalError, start } from "../start.ts";
import { parentChannel } from "./parent-channel.ts";
import { listenForShutdown } from "./shutdown.ts";
import { listenToStandardInput } from "./standard-input.ts";

export interface ProcessOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Where this program's package is. */
  readonly packageDir: string;
}

/** The runner as a process: environment, signals, exit code. What it does is in start.ts. */
export async function runProcess({ env, packageDir }: ProcessOptions): Promise<void> {
  const { version } = createRequire(import.meta.url)(join(packageDir, "package.json")) as { version: string };
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  const parent = parentChannel(process);
  // Of a runner in a container: its daemon holds the other end.
  const input = env["STIGMER_SECRETS_FD"] === "0" ? listenToStandardInput(process.stdin) : undefined;
  const shutdown = listenForShutdown(process, input?.onGone ?? parent.onGone);
  try {
    loadDotEnv({ cwd: process.cwd(), entryDir: packageDir, env });
    const secrets = await (input?.secrets ?? readSecretsPipe(env));
    await start({
      env: { ...env, ...secrets },
      version,
      parent,
      shutdown: shutdown.signal,
      print,
      secretsInEnvironment: [...secretNames].filter((name) => env[name]),
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
}
