import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { CliError } from "../errors.ts";
import { daemonFiles } from "./find-daemon.ts";
import { isLocked } from "./lock.ts";
import { HOME_LABEL, RUNNER_CONTAINER } from "./runner-choice.ts";

type Environment = Readonly<Record<string, string | undefined>>;

interface Output {
  /** Undefined when there is no such program. */
  readonly exitCode?: number;
  readonly stdout: string;
  readonly stderr: string;
}

const ANSWERS_WITHIN_MS = 20_000;

/** Runs the `docker` program to its end. Never throws. */
export function docker(args: readonly string[], env: Environment): Promise<Output> {
  return new Promise((done) => {
    execFile("docker", args, { env: { ...env }, timeout: ANSWERS_WITHIN_MS }, (error, stdout, stderr) => {
      if (error?.code === "ENOENT") done({ stdout, stderr });
      else done({ exitCode: error ? (typeof error.code === "number" ? error.code : 1) : 0, stdout, stderr });
    });
  });
}

/** Throws `CliError` with what to do when there is no Docker, or no such image. */
export async function checkImage(image: string, env: Environment): Promise<void> {
  const version = await docker(["version", "--format", "{{.Server.Version}}"], env);
  if (version.exitCode === undefined) {
    throw new CliError(
      "failed",
      "There is no program `docker` here: install Docker, or start without --runner docker.",
    );
  }
  if (version.exitCode !== 0) {
    throw new CliError(
      "failed",
      `Docker does not answer: ${lastLine(version.stderr) || "no answer in time"}. Start it, or start without --runner docker.`,
    );
  }
  const found = await docker(["image", "inspect", "--format", "{{.Id}}", image], env);
  if (found.exitCode === 0) return;
  throw new CliError(
    "failed",
    `Docker has no image ${image}. Build it in Stigmer's repository: docker build -f deploy/docker/runner.Dockerfile -t ${image} .`,
  );
}

/**
 * Makes sure that the runner's container can be made: one that a dead daemon left is removed. Throws `CliError` when the one
 * that is there is somebody else's.
 */
export async function clearContainer(home: string, env: Environment): Promise<void> {
  const owner = await ownerOf(env);
  if (owner === undefined) return;
  if (owner === "") {
    throw new CliError(
      "failed",
      `There is a container ${RUNNER_CONTAINER} that Stigmer did not start: remove or rename it (docker rm --force ${RUNNER_CONTAINER}).`,
    );
  }
  // This home's lock is held by whoever asks, so a container of it is a dead daemon's.
  if (owner !== home && isLocked(daemonFiles({ runDir: resolve(owner, "run") }).lockFile)) {
    throw new CliError(
      "failed",
      `The container ${RUNNER_CONTAINER} is that of the daemon in ${owner}: stop it first (STIGMER_HOME=${owner} stigmer local stop).`,
    );
  }
  const removed = await docker(["rm", "--force", RUNNER_CONTAINER], env);
  // Another hand, or `--rm`, may have been quicker.
  if (removed.exitCode !== 0 && (await ownerOf(env)) !== undefined) {
    throw new CliError(
      "failed",
      `The container ${RUNNER_CONTAINER} that a daemon left can't be removed: ${lastLine(removed.stderr)}.`,
    );
  }
}

/** The home whose container has the name; empty when it is not Stigmer's, undefined when there is none. */
async function ownerOf(env: Environment): Promise<string | undefined> {
  const format = `{{ index .Config.Labels "${HOME_LABEL}" }}`;
  const { exitCode, stdout } = await docker(["container", "inspect", "--format", format, RUNNER_CONTAINER], env);
  return exitCode === 0 ? stdout.trim() : undefined;
}

function lastLine(text: string): string {
  return (text.trim().split("\n").at(-1) ?? "").replace(/\.$/, "");
}
