import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Homes, isLoopback, type VariableName, variables } from "@stigmer/config";
import { HOME_LABEL, RUNNER_CONTAINER, type RunnerChoice } from "./runner-choice.ts";

export interface ContainerOptions {
  readonly homes: Homes;
  readonly choice: Extract<RunnerChoice, { type: "docker" }>;
  /** The runner's variables, without secrets. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The server's port. */
  readonly port: number;
  readonly platform: NodeJS.Platform;
  /** Whose files the runner's are. Undefined where the system knows no such numbers. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

/** How a container on macOS and Windows calls the machine. On Linux it shares the machine's network. */
export const HOST_NAME = "host.docker.internal";

// The server's, beside the runner's databases: what is sealed, and the key it is sealed with.
const SERVER_FILES = ["encryption.key", "stigmer.db", "stigmer.db-wal", "stigmer.db-shm"];

/** The arguments of `docker` that run the agent-runner. Nothing in them is a secret: those come by its standard input. */
export function containerArguments(options: ContainerOptions): string[] {
  const { homes, choice, platform, user } = options;
  const folders = new Set([homes.dataDir, homes.workspacesDir, ...choice.mounts]);
  const root = options.env["SANDBOX_ROOT_DIR"];
  if (root) folders.add(root);
  const hidden = SERVER_FILES.map((name) => join(homes.dataDir, name)).filter((file) => existsSync(file));
  return [
    "run",
    "--rm",
    "--interactive",
    `--name=${RUNNER_CONTAINER}`,
    `--label=${HOME_LABEL}=${homes.home}`,
    "--pull=never",
    ...(user ? [`--user=${user.uid}:${user.gid}`] : []),
    ...(platform === "linux" ? ["--network=host"] : []),
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    // What it has in memory is written nowhere when it dies.
    "--ulimit=core=0",
    "--tmpfs=/tmp:exec,mode=1777",
    // The image's own volume, which belongs to the image's own user.
    "--tmpfs=/var/lib/stigmer:mode=1777",
    // Nobody asks: the daemon looks after it.
    "--no-healthcheck",
    // Paths are the same in there, so that what the server and the runs say of them is true on both sides.
    ...[...folders].map((folder) => mount(folder)),
    ...hidden.map((file) => mount("/dev/null", file)),
    ...(existsSync(homes.configFile) ? [`${mount(homes.configFile)},readonly`] : []),
    ...Object.entries(containerEnvironment(options)).map(([name, value]) => `--env=${name}=${value}`),
    choice.image,
  ];
}

function mount(source: string, target: string = source): string {
  return `--mount=type=bind,${csv(`source=${source}`)},${csv(`target=${target}`)}`;
}

/** A field of Docker's list, which is CSV. */
function csv(field: string): string {
  return /[",]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

function containerEnvironment({ homes, env, port, platform }: ContainerOptions): Record<string, string> {
  const names = Object.keys(variables) as VariableName[];
  const open = names.filter(
    (name) => variables[name].readers.some((reader) => reader === "runner") && !variables[name].secret,
  );
  const given = Object.fromEntries(open.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
  const all: Record<string, string> = {
    ...(platform !== "linux" && { OLLAMA_BASE_URL: variables.OLLAMA_BASE_URL.local.value }),
    // The image has one for services; here it would be a port of the machine's.
    STIGMER_RUNNER_HEALTH_PORT: "",
    // In there none of the others can be made.
    SANDBOX_TYPES: "filesystem",
    ...given,
    MODE: "local",
    HOME: "/tmp",
    STIGMER_HOME: homes.home,
    STIGMER_DATA_DIR: homes.dataDir,
    STIGMER_BACKEND_ENDPOINT: `127.0.0.1:${port}`,
    STIGMER_SECRETS_FD: "0",
  };
  if (platform === "linux") return all;
  return Object.fromEntries(
    Object.entries(all).map(([name, value]) => [name, fromInside(name as VariableName, value)]),
  );
}

/** What this machine calls itself is the container's own loopback interface in there. */
function fromInside(name: VariableName, value: string): string {
  switch (variables[name]?.format.type) {
    case "address":
    case "endpoint":
      return isLoopback(value) ? value.replace(/(?:\[[^\]]*\]|[^/:[\]]+)(?=:\d+$)/, HOST_NAME) : value;
    case "url": {
      if (!URL.canParse(value)) return value;
      const url = new URL(value);
      if (!isLoopback(url.port ? url.host : `${url.host}:80`)) return value;
      url.hostname = HOST_NAME;
      return url.href.replace(/\/$/, "");
    }
    default:
      return value;
  }
}
