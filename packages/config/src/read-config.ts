import { join } from "node:path";
import { type Backend, backendOf, type ReadLocalKey, resolveLocalBackend } from "./backend.ts";
import { cloudEngine, type Engine, localEngine, type TemporalEngine } from "./engine.ts";
import { type Environment, given } from "./environment.ts";
import type { DatabaseLocation, PostgresLocation } from "./formats.ts";
import { type Homes, resolveHome } from "./home.ts";
import { type Endpoint, metricsOf, type TracesConfig, tracesOf } from "./observability.ts";
import { ConfigError, type ConfigProblem } from "./problems.ts";
import { readMode, readVariables, type Values } from "./read-variables.ts";
import { redisOf, type RedisConfig } from "./redis.ts";
import { chooseModel, type ChooseModelOptions, type ResolvedModel } from "./resolve-model.ts";
import {
  type CloudSandboxConfig,
  cloudSandboxes,
  type DaytonaAccess,
  type LocalSandboxConfig,
  localSandboxes,
  sandboxKeeping,
  type SandboxKeeping,
} from "./sandbox-config.ts";

export type LogLevel = "DEBUG" | "INFO" | "WARN" | "ERROR";

interface SharedConfig {
  /** The deployment environment (`ENV`), if named. Decides nothing here. */
  readonly environment?: string;
  readonly logLevel: LogLevel;
  readonly homes: Homes;
  /** The queue that activities are taken from. */
  readonly taskQueue: string;
  /** How many activities are worked on at a time. */
  readonly maxConcurrency: number;
  /** How long the sandboxes of sessions are kept. */
  readonly sandboxKeeping: SandboxKeeping;
  /** Where `/healthz` and `/readyz` are served; absent: nowhere. */
  readonly health?: Endpoint;
  /** Where `/metrics` is served; absent: nowhere, and nothing is counted. */
  readonly metrics?: Endpoint;
  readonly traces: TracesConfig;
  /** After how many events the status is sent, at the latest. */
  readonly statusUpdateEveryEvents: number;
  /** Given, where a runner shares its environment with a server. */
  readonly database?: DatabaseLocation;
  /** 32 bytes; given, where a runner shares its environment with a server. */
  readonly encryptionKey?: Uint8Array;
  /** Where to ask whether an Ollama is there; only when nothing else names a model. */
  readonly ollamaBaseUrl: string;
  /** The model for a run; see the function of this name. Reads the variables as they were when the configuration was. */
  readonly resolveModel: (options: ChooseModelOptions) => ResolvedModel;
}

/** A runner beside its daemon. */
export interface LocalConfig extends SharedConfig {
  readonly mode: "local";
  readonly isLocalMode: true;
  readonly backend: Backend;
  readonly engine: Engine;
  readonly checkpoints: DatabaseLocation;
  /** `SANDBOX_ROOT_DIR`, when set: then it is the workspace of all sessions. */
  readonly sandboxRootDir?: string;
  /** The sandbox to make. `rootDir` is the session's workspace; `SANDBOX_ROOT_DIR` goes before it, `./workspace` after it. */
  readonly sandboxConfig: (options?: { readonly rootDir?: string }) => LocalSandboxConfig;
  /** What sessions may ask for, each as `sandboxConfig`, which is the first of them. */
  readonly sandboxConfigs: (options?: { readonly rootDir?: string }) => readonly LocalSandboxConfig[];
}

/** A runner of a service. */
export interface CloudConfig extends SharedConfig {
  readonly mode: "cloud";
  readonly isLocalMode: false;
  readonly backend: Backend;
  readonly engine: TemporalEngine;
  readonly checkpoints: PostgresLocation;
  readonly redis: RedisConfig;
  /** Present when sandboxes may be Daytona's. */
  readonly daytona?: DaytonaAccess;
  /** Whether agents' MCP servers may be programs and containers beside the runner. */
  readonly allowsMcpPrograms: boolean;
  readonly sandboxConfig: () => CloudSandboxConfig;
  /** What sessions may ask for; `sandboxConfig` is the first of them. */
  readonly sandboxConfigs: () => readonly CloudSandboxConfig[];
}

/** What the agent-runner is told by its environment. In local mode there are no Redis fields. */
export type Config = LocalConfig | CloudConfig;

export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

export interface ReadConfigOptions {
  /** What `~` stands for. Default: the user's home folder. */
  readonly home?: string;
  /** Returns the key in `local.key`, or undefined when there is none. Default: reads the file. */
  readonly readLocalKey?: ReadLocalKey;
}

/** Reads the agent-runner's configuration. Never throws for what is wrong: all problems come back at once. */
export function readConfig(env: Environment = process.env, options: ReadConfigOptions = {}): ConfigResult {
  const mode = readMode(env, "runner");
  if (!mode.ok) return mode;
  return mode.mode === "local" ? readLocalConfig(env, options) : readCloudConfig(env, options);
}

/** As `readConfig`, but throws `ConfigError` with all problems, one a line. */
export function loadConfig(env: Environment = process.env, options: ReadConfigOptions = {}): Config {
  const result = readConfig(env, options);
  if (!result.ok) throw new ConfigError(result.problems);
  return result.config;
}

function readLocalConfig(env: Environment, options: ReadConfigOptions): ConfigResult {
  const result = readVariables(env, { mode: "local", reader: "runner", home: options.home });
  if (!result.ok) return result;
  const { values } = result;
  const homes = resolveHome(env, options);
  const backend = resolveLocalBackend(values.STIGMER_BACKEND_ENDPOINT, values.STIGMER_API_KEY, {
    homes,
    readLocalKey: options.readLocalKey,
    caFile: values.STIGMER_TLS_CA_FILE,
  });
  if (!backend.ok) return backend;
  const sandboxRootDir = given(env, "SANDBOX_ROOT_DIR") === undefined ? undefined : values.SANDBOX_ROOT_DIR;
  const sandboxes = (rootDir = values.SANDBOX_ROOT_DIR): ReturnType<typeof localSandboxes> =>
    localSandboxes(values, sandboxRootDir ?? rootDir);
  return {
    ok: true,
    config: {
      mode: "local",
      isLocalMode: true,
      ...sharedBy(values, homes),
      ...healthOf("127.0.0.1", values.STIGMER_RUNNER_HEALTH_PORT),
      ...metricsOf("127.0.0.1", values.STIGMER_METRICS_PORT),
      backend: backend.backend,
      engine: localEngine(values),
      checkpoints: values.STIGMER_CHECKPOINT_URL ?? { type: "sqlite", file: join(homes.dataDir, "checkpoints.db") },
      ...(sandboxRootDir && { sandboxRootDir }),
      sandboxConfig: ({ rootDir } = {}) => sandboxes(rootDir)[0],
      sandboxConfigs: ({ rootDir } = {}) => sandboxes(rootDir),
    },
  };
}

function readCloudConfig(env: Environment, options: ReadConfigOptions): ConfigResult {
  const result = readVariables(env, { mode: "cloud", reader: "runner", home: options.home });
  if (!result.ok) return result;
  const { values } = result;
  const backend = backendOf(values.STIGMER_BACKEND_ENDPOINT, values.STIGMER_API_KEY, values.STIGMER_TLS_CA_FILE);
  if (!backend.ok) return backend;
  const { DAYTONA_API_KEY: apiKey, DAYTONA_API_URL: apiUrl, DAYTONA_TARGET: target } = values;
  const sandboxes = cloudSandboxes(values);
  return {
    ok: true,
    config: {
      mode: "cloud",
      isLocalMode: false,
      ...sharedBy(values, resolveHome(env, options)),
      ...healthOf("::", values.STIGMER_RUNNER_HEALTH_PORT),
      ...metricsOf("::", values.STIGMER_METRICS_PORT),
      backend: backend.backend,
      engine: cloudEngine(values),
      checkpoints: values.STIGMER_CHECKPOINT_URL,
      redis: redisOf(values),
      allowsMcpPrograms: values.STIGMER_CLOUD_MCP_PROGRAMS === "allow",
      ...(sandboxes.some(({ type }) => type === "daytona") &&
        apiKey && { daytona: { apiKey, ...(apiUrl && { apiUrl }), ...(target && { target }) } }),
      sandboxConfig: () => sandboxes[0],
      sandboxConfigs: () => sandboxes,
    },
  };
}

function healthOf(host: string, port: number | undefined): Pick<SharedConfig, "health"> {
  return port === undefined ? {} : { health: { host, port } };
}

function sharedBy(values: Values<"local", "runner"> | Values<"cloud", "runner">, homes: Homes): SharedConfig {
  const { ENV: environment, STIGMER_DATABASE_URL: database, STIGMER_ENCRYPTION_KEY: encryptionKey } = values;
  return {
    ...(environment && { environment }),
    logLevel: values.LOG_LEVEL,
    homes,
    taskQueue: values.TEMPORAL_AGENT_EXECUTION_RUNNER_TASK_QUEUE,
    maxConcurrency: values.TEMPORAL_MAX_CONCURRENCY,
    statusUpdateEveryEvents: values.STATUS_UPDATE_EVERY_EVENTS,
    sandboxKeeping: sandboxKeeping(values),
    traces: tracesOf(values),
    ...(database && { database }),
    ...(encryptionKey && { encryptionKey }),
    ollamaBaseUrl: values.OLLAMA_BASE_URL,
    resolveModel: (options) => chooseModel(values, options),
  };
}
