import { spawn } from "node:child_process";
import { once } from "node:events";
import { readSecretsPipe, resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { clearContainer, docker } from "../../daemon/docker-cli.ts";
import { RUNNER_CONTAINER } from "../../daemon/runner-choice.ts";
import { tellParent } from "../../daemon/tell-parent.ts";

export interface RunContainerOptions {
  /** Those of `docker`. */
  readonly args: readonly string[];
}

// The runner hands back within 8 s what it can't finish; the daemon waits 12 s.
const STOP_SECONDS = 9;
const READY = "Worker ready, polling for tasks...";

/** The daemon's child that stands for the runner in its container: what ends here ends there, and the other way round. */
export async function runContainer({ args }: RunContainerOptions, io: CommandIo): Promise<number> {
  const secrets = await readSecretsPipe(io.env);
  const env = Object.fromEntries(
    Object.entries(io.env).filter(([name]) => !/^(NODE_CHANNEL_|STIGMER_SECRETS_FD)/.test(name)),
  );
  await clearContainer(resolveHome(io.env).home, env);

  const child = spawn("docker", args, { env, stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit") as Promise<[number | null]>;
  // The secrets are one line. The pipe stays open: when it closes, the runner knows that nobody looks after it any more.
  child.stdin.on("error", () => {});
  child.stdin.write(`${JSON.stringify(secrets)}\n`);
  let line = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    io.stdout.write(text);
    line = (line + text).slice(-1_000);
    if (line.includes(READY)) void tellParent({ type: "ready" });
  });

  const stopContainer = async (): Promise<void> => {
    const { exitCode } = await docker(["stop", "--time", String(STOP_SECONDS), RUNNER_CONTAINER], env);
    // It is not there yet, or not any more.
    if (exitCode !== 0) child.stdin.end();
  };
  let stopping: Promise<unknown> | undefined;
  const stop = (): void => {
    stopping ??= stopContainer();
  };
  const stopListening = io.onSignal(stop);
  process.once("disconnect", stop);
  if (process.send && !process.connected) stop();
  try {
    const [code] = await ended;
    await stopping;
    return code ?? 1;
  } finally {
    process.off("disconnect", stop);
    stopListening();
    if (process.connected) process.disconnect();
  }
}
