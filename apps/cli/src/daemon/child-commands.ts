import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { type Homes, secretNames } from "@stigmer/config";
import { heapArguments } from "@stigmer/config/node-process";
import { withAbsolutePaths } from "./absolute-paths.ts";
import type { ChildCommand } from "./child-process.ts";
import { containerArguments, HOST_NAME } from "./container-arguments.ts";
import { makeDirectory } from "./make-directory.ts";
import { nodeArguments, withoutDumpOptions } from "./no-dumps.ts";
import type { RunnerChoice } from "./runner-choice.ts";

export interface ChildCommandsOptions {
  readonly homes: Homes;
  /** The user's environment. Secrets in it go to the children that need them, by their pipes. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For the runner, besides those of the environment. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Default: a process. */
  readonly runner?: RunnerChoice;
  /** Temporal's command line, whose dev server is to keep the runs. Default: the engine that the environment names. */
  readonly temporal?: string;
}

/** How the daemon starts its children. */
export interface ChildCommands {
  /** Absent: no Temporal is the daemon's own. `port` as for the server. */
  readonly temporal?: (port: number) => ChildCommand;
  /** `port` is the one asked for, after the first start the one it got. */
  server(port: number, temporalPort?: number): ChildCommand;
  /** `port` is the server's. */
  runner(port: number, temporalPort?: number): ChildCommand;
}

// Of a server on this machine, whatever the user's environment says of another one.
const FOREIGN = /^(STIGMER_(API_KEY|BACKEND_ENDPOINT|PORT|SECRETS_FD)|NODE_CHANNEL_\w+)$/;
// What the server itself decrypts and opens its store with; everything else is for the runner.
const SERVER_SECRETS = new Set(["STIGMER_ENCRYPTION_KEY", "STIGMER_DATABASE_URL"]);
// What both show to whoever collects their spans.
const SHARED_SECRETS = new Set(["OTEL_EXPORTER_OTLP_HEADERS"]);

export function childCommands({ homes, secrets, runner, temporal, ...options }: ChildCommandsOptions): ChildCommands {
  const env = withAbsolutePaths(withoutDumpOptions(options.env));
  const open = Object.fromEntries(Object.entries(env).filter(([name]) => !FOREIGN.test(name) && !isSecret(name)));
  const hidden = secretsOf(env);
  const shared = { ...open, MODE: "local", STIGMER_HOME: homes.home, STIGMER_DATA_DIR: homes.dataDir };
  // The daemon is started by `stigmer` itself, from source or from a build alike.
  const node = nodeArguments();
  const stigmer = [...node, ...heapArguments.server, process.argv[1] ?? ""];
  const runnerSecrets = {
    ...Object.fromEntries(Object.entries(hidden).filter(([name]) => !SERVER_SECRETS.has(name))),
    ...secrets,
  };
  const container = (port: number, choice: RunnerChoice & { type: "docker" }): ChildCommand => {
    // Docker would make them as root.
    makeDirectory(homes.dataDir);
    makeDirectory(homes.workspacesDir);
    const user = process.getuid && process.getgid && { uid: process.getuid(), gid: process.getgid() };
    const { platform } = process;
    return {
      command: process.execPath,
      args: [
        ...stigmer,
        "internal",
        "run-container",
        "--",
        ...containerArguments({ homes, choice, env: { ...shared, ...metricsOfRunner(env) }, port, platform, user }),
      ],
      env: shared,
      // In there the file of the key is not to be had. The server, which runs by now, has made it.
      secrets: { ...runnerSecrets, STIGMER_API_KEY: readFileSync(homes.localKeyFile, "utf8").trim() },
      logFile: join(homes.logsDir, "agent-runner.log"),
    };
  };
  const hosts = runner?.type === "docker" && process.platform !== "linux" ? [HOST_NAME] : [];
  const allowedHosts = [env["STIGMER_ALLOWED_HOSTS"], ...hosts].filter(Boolean).join(",");
  return {
    ...(temporal !== undefined && {
      temporal: (port: number) => ({
        command: process.execPath,
        args: [...stigmer, "internal", "run-temporal", "--port", String(port), temporal],
        env: shared,
        secrets: {},
        logFile: join(homes.logsDir, "temporal.log"),
      }),
    }),
    server: (port, temporalPort) => ({
      command: process.execPath,
      args: [...stigmer, "server", "run", "--port", String(port)],
      env: { ...shared, ...(allowedHosts && { STIGMER_ALLOWED_HOSTS: allowedHosts }), ...ownTemporal(temporalPort) },
      secrets: Object.fromEntries(
        Object.entries(hidden).filter(([name]) => SERVER_SECRETS.has(name) || SHARED_SECRETS.has(name)),
      ),
      logFile: join(homes.logsDir, "stigmer-server.log"),
    }),
    runner: (port, temporalPort) =>
      runner?.type === "docker"
        ? container(port, runner)
        : {
            command: process.execPath,
            args: [...node, ...heapArguments.runner, fileURLToPath(import.meta.resolve("@stigmer/agent-runner/main"))],
            env: {
              ...shared,
              ...metricsOfRunner(env),
              ...ownTemporal(temporalPort),
              STIGMER_BACKEND_ENDPOINT: `127.0.0.1:${port}`,
            },
            secrets: runnerSecrets,
            logFile: join(homes.logsDir, "agent-runner.log"),
          },
  };
}

/** What names the daemon's own Temporal. */
function ownTemporal(port: number | undefined): Record<string, string> {
  if (port === undefined) return {};
  return { STIGMER_ENGINE: "temporal", TEMPORAL_SERVICE_ADDRESS: `127.0.0.1:${port}`, TEMPORAL_NAMESPACE: "default" };
}

/** The port after the server's: one machine has both. */
function metricsOfRunner({ STIGMER_METRICS_PORT: text = "" }: ChildCommandsOptions["env"]): Record<string, string> {
  const port = Number(text);
  // Any free one, or a wrong one, which the server tells.
  return text.trim() === "" || !(port > 0) ? {} : { STIGMER_METRICS_PORT: String(port + 1) };
}

/** The secrets that an environment holds, but for the key of another server. */
export function secretsOf(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => isSecret(entry[0]) && !FOREIGN.test(entry[0]) && Boolean(entry[1]),
    ),
  );
}

/** The environment without any secret: fit for a process that agents' commands can look into. */
export function withoutSecrets(env: Readonly<Record<string, string | undefined>>): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !isSecret(name)));
}

function isSecret(name: string): boolean {
  return (secretNames as readonly string[]).includes(name);
}
