// A server in a container. The `docker` program is what speaks to the engine: it knows contexts, registries and credentials.
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import type { McpDockerServerConfig } from "./mcp-config.ts";
import { quote } from "./quote.ts";

/** The container is found by it, whatever its name. */
const label = "ai.stigmer.mcp";

export interface DockerCommand {
  /** Shell code that becomes `docker run`. */
  readonly command: string;
  /** The values that it puts into the container's environment: under names that the `docker` program doesn't know. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * The values travel in the program's environment, so that they are in nobody's arguments. Under names of ours at first: PATH
 * or DOCKER_HOST would be taken by the program for its own until it is found.
 */
export function dockerCommand(config: McpDockerServerConfig, id: string): DockerCommand {
  const variables = Object.entries(config.env ?? {});
  const carried = (at: number): string => `STIGMER_MCP_${at}`;
  const words = [
    "run",
    "-i",
    "--rm",
    `--label=${label}=${id}`,
    ...(config.containerName === undefined ? [] : [`--name=${config.containerName}`]),
    ...(config.network === undefined ? [] : [`--network=${config.network}`]),
    ...(config.volumes ?? []).map(({ hostPath, containerPath, readOnly }) => {
      const fields = ["type=bind", `source=${hostPath}`, `target=${containerPath}`, ...(readOnly ? ["readonly"] : [])];
      return `--mount=${fields.map(csvField).join(",")}`;
    }),
    ...(config.ports ?? []).map(
      ({ hostPort, containerPort, protocol }) => `--publish=${hostPort}:${containerPort}/${protocol ?? "tcp"}`,
    ),
    ...variables.map(([name]) => `--env=${name}`),
    "--",
    config.image,
    ...(config.args ?? []),
  ];
  return {
    command: [
      `docker=$(command -v docker) || { echo "docker: not found" >&2; exit 127; }`,
      `export DOCKER_CONFIG="\${DOCKER_CONFIG:-$HOME/.docker}"`,
      ...variables.map(([name], at) => `export ${name}="$${carried(at)}"; unset ${carried(at)}`),
      `exec "$docker" ${words.map(quote).join(" ")}`,
    ].join("\n"),
    env: Object.fromEntries(variables.map(([, value], at) => [carried(at), value])),
  };
}

/** What is wrong with the name of a container's variable: it becomes one of the shell and of the `docker` program. */
export function problemOfName(name: string): string | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return "is not a name of letters, digits and _";
  return name.startsWith("DOCKER_") ? "is for the docker program itself" : undefined;
}

/**
 * Removes the container when asked to, and also when this process dies without a chance to ask: its pipe ends then. In that
 * case it looks several times, since the engine may still be making the container.
 */
const watchdogScript = `
trap '' HUP INT QUIT TERM
asked=
while read -r word; do asked=$word; done
round=0
while [ "$round" -lt 6 ]; do
  found=$(docker ps -aq --no-trunc --filter "label=$1") || exit 1
  [ -z "$found" ] || docker rm -f $found
  [ -z "$asked" ] || exit 0
  round=$((round + 1))
  sleep 0.5
done
`;

/** Answers what ends it, and with it the container; resolves when that is gone. */
export function watchContainer(id: string, env: Readonly<Record<string, string>>): () => Promise<void> {
  // In a session of its own, out of reach of the terminal's Ctrl-C. Nobody else has an end of the pipe.
  const child = spawn("/bin/sh", ["-c", watchdogScript, "stigmer-mcp-watchdog", `${label}=${id}`], {
    cwd: "/",
    env: { ...env },
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const exit = once(child, "exit").catch(() => {});
  child.stdin?.on("error", () => {});
  child.unref();
  (child.stdin as Socket | null)?.unref();
  return async () => {
    child.ref();
    child.stdin?.end("end\n");
    await exit;
  };
}

/** As encoding/csv reads it, by which Docker takes the option apart. */
function csvField(field: string): string {
  return /[",\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
