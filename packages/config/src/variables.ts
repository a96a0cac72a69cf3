// Every fact about every variable, once: readers validate by this table, and docs/reference/configuration.md is written from it.

import type { Format } from "./formats.ts";

/** Where Stigmer runs: on one machine beside its daemon, or as a service. */
export type Mode = "local" | "cloud";

/** Which process reads a variable. `client` is the `stigmer` command. */
export type Reader = "runner" | "server" | "client";

/** What holds for a variable in one mode. */
export type Rule =
  /** `value` is written as it would stand in the environment. */
  | { readonly use: "default"; readonly value: string; readonly note?: string }
  /** `by` narrows it to one reader; for the others the variable is optional. */
  | { readonly use: "required"; readonly by?: Reader }
  /** `unset` says what happens without it. */
  | { readonly use: "optional"; readonly unset: string }
  /** Never looked at in this mode, not even when set. */
  | { readonly use: "ignored" };

export interface Variable {
  readonly group: string;
  readonly meaning: string;
  readonly readers: readonly Reader[];
  readonly format: Format;
  readonly local: Rule;
  readonly cloud: Rule;
  /** Its value never appears in a problem, a banner or a log. */
  readonly secret: boolean;
}

export const variables = {
  MODE: {
    group: "Process",
    meaning: "Where the process runs: on one machine beside its daemon, or as part of a service.",
    readers: ["runner", "server"],
    format: { type: "choice", values: ["local", "cloud"] },
    local: { use: "default", value: "local", note: "has to be set: unset means cloud mode" },
    cloud: { use: "default", value: "cloud" },
    secret: false,
  },
  ENV: {
    group: "Process",
    meaning:
      "The deployment environment (development, staging, production). It never decides the mode; with `production` no `.env` is read.",
    readers: ["runner", "server"],
    format: { type: "text" },
    local: { use: "optional", unset: "not named" },
    cloud: { use: "optional", unset: "not named" },
    secret: false,
  },
  LOG_LEVEL: {
    group: "Process",
    meaning: "The least severe level that is logged, in upper or lower case.",
    readers: ["runner", "server"],
    format: { type: "choice", values: ["DEBUG", "INFO", "WARN", "ERROR"], anyCase: true },
    local: { use: "default", value: "INFO" },
    cloud: { use: "default", value: "INFO" },
    secret: false,
  },
  STIGMER_RUNNER_HEALTH_PORT: {
    group: "Process",
    meaning:
      "The port of the runner's `/healthz` and `/readyz`: on the loopback interface in local mode, on all interfaces in cloud mode. 0 takes any free one.",
    readers: ["runner"],
    format: { type: "integer", min: 0, max: 65_535 },
    local: { use: "optional", unset: "no such endpoints" },
    cloud: { use: "default", value: "8080" },
    secret: false,
  },
  STIGMER_HOME: {
    group: "Process",
    meaning: "The folder of `config.yaml`, `local.key`, data, logs, downloaded programs and workspaces.",
    readers: ["runner", "server", "client"],
    format: { type: "path" },
    local: { use: "default", value: "~/.stigmer" },
    cloud: { use: "default", value: "~/.stigmer" },
    secret: false,
  },
  STIGMER_DATA_DIR: {
    group: "Process",
    meaning: "The folder of the databases and the encryption key file.",
    readers: ["runner", "server", "client"],
    format: { type: "path" },
    local: { use: "optional", unset: "`data` in `STIGMER_HOME`" },
    cloud: { use: "optional", unset: "`data` in `STIGMER_HOME`" },
    secret: false,
  },
  STIGMER_BACKEND_ENDPOINT: {
    group: "Server",
    meaning: "The Stigmer server to talk to. Spoken over TLS when it ends in `:443`.",
    readers: ["runner", "client"],
    format: { type: "address", example: "localhost:50051" },
    local: { use: "default", value: "localhost:50051" },
    cloud: { use: "required" },
    secret: false,
  },
  STIGMER_API_KEY: {
    group: "Server",
    meaning:
      "The key that the server is shown. Toward a loopback endpoint in local mode, the literal `dummy-local-key` means unset.",
    readers: ["runner", "client"],
    format: { type: "text" },
    local: {
      use: "optional",
      unset: "toward a loopback endpoint the key in `local.key`, else `dummy-local-key`; any other must be given one",
    },
    cloud: { use: "required" },
    secret: true,
  },
  STIGMER_PORT: {
    group: "Server",
    meaning: "The port the server listens on. 0 takes any free one.",
    readers: ["server"],
    format: { type: "integer", min: 0, max: 65_535 },
    local: { use: "default", value: "50051" },
    cloud: { use: "default", value: "50051" },
    secret: false,
  },
  STIGMER_ALLOWED_ORIGINS: {
    group: "Server",
    meaning: "The origins whose web pages may call the server. Their calls need a key as all others do.",
    readers: ["server"],
    format: { type: "origins" },
    local: { use: "optional", unset: "no web page may" },
    cloud: { use: "optional", unset: "no web page may" },
    secret: false,
  },
  STIGMER_OIDC_ISSUER: {
    group: "Server",
    meaning: "Issuer of the tokens that the server accepts beside API keys. Set together with the audience.",
    readers: ["server"],
    format: { type: "url", example: "https://accounts.example.com" },
    local: { use: "ignored" },
    cloud: { use: "optional", unset: "API keys only" },
    secret: false,
  },
  STIGMER_OIDC_AUDIENCE: {
    group: "Server",
    meaning: "Audience that a token must be made for. Set together with the issuer.",
    readers: ["server"],
    format: { type: "text" },
    local: { use: "ignored" },
    cloud: { use: "optional", unset: "API keys only" },
    secret: false,
  },
  STIGMER_ENGINE: {
    group: "Durable execution",
    meaning: "What keeps runs alive over crashes: the queue inside the server, or Temporal.",
    readers: ["runner", "server"],
    format: { type: "choice-by-mode", local: ["embedded", "temporal"], cloud: ["temporal"] },
    local: { use: "optional", unset: "`temporal` when `TEMPORAL_SERVICE_ADDRESS` is set, else `embedded`" },
    cloud: { use: "default", value: "temporal" },
    secret: false,
  },
  TEMPORAL_SERVICE_ADDRESS: {
    group: "Durable execution",
    meaning: "Temporal's frontend. Required wherever the engine is `temporal`.",
    readers: ["runner", "server"],
    format: { type: "address", example: "localhost:7233" },
    local: { use: "optional", unset: "the embedded engine" },
    cloud: { use: "required" },
    secret: false,
  },
  TEMPORAL_NAMESPACE: {
    group: "Durable execution",
    meaning: "Temporal's namespace.",
    readers: ["runner", "server"],
    format: { type: "text" },
    local: { use: "default", value: "default" },
    cloud: { use: "required" },
    secret: false,
  },
  TEMPORAL_AGENT_EXECUTION_RUNNER_TASK_QUEUE: {
    group: "Durable execution",
    meaning: "The queue that runners take activities from. Used by both engines.",
    readers: ["runner", "server"],
    format: { type: "text" },
    local: { use: "default", value: "agent_execution_runner" },
    cloud: { use: "default", value: "agent_execution_runner" },
    secret: false,
  },
  TEMPORAL_AGENT_EXECUTION_STIGMER_TASK_QUEUE: {
    group: "Durable execution",
    meaning: "The queue that the server takes workflows from. It may be the same as the runners'.",
    readers: ["server"],
    format: { type: "text" },
    local: { use: "default", value: "agent_execution_stigmer" },
    cloud: { use: "default", value: "agent_execution_stigmer" },
    secret: false,
  },
  TEMPORAL_MAX_CONCURRENCY: {
    group: "Durable execution",
    meaning: "How many activities one runner works on at a time. Used by both engines.",
    readers: ["runner"],
    format: { type: "integer", min: 1 },
    local: { use: "default", value: "10" },
    cloud: { use: "default", value: "10" },
    secret: false,
  },
  STATUS_UPDATE_EVERY_EVENTS: {
    group: "Durable execution",
    meaning: "After how many events the status is sent to the server, at the latest.",
    readers: ["runner"],
    format: { type: "integer", min: 1 },
    local: { use: "default", value: "10" },
    cloud: { use: "default", value: "10" },
    secret: false,
  },
  SANDBOX_TYPE: {
    group: "Sandbox",
    meaning: "Where an agent's commands run and its files live.",
    readers: ["runner"],
    format: {
      type: "choice-by-mode",
      local: ["filesystem", "isolated", "docker"],
      cloud: ["daytona", "docker"],
    },
    local: { use: "default", value: "filesystem" },
    cloud: { use: "default", value: "daytona" },
    secret: false,
  },
  SANDBOX_ROOT_DIR: {
    group: "Sandbox",
    meaning: "The workspace of all sessions. Used as it is, never deleted.",
    readers: ["runner"],
    format: { type: "path" },
    local: {
      use: "default",
      value: "./workspace",
      note: "for a program without sessions; a runner gives each session `workspaces/<session id>` under `STIGMER_HOME`",
    },
    cloud: { use: "ignored" },
    secret: false,
  },
  SANDBOX_NETWORK: {
    group: "Sandbox",
    meaning:
      "What commands in a sandbox may reach: nothing but what runs in it, everything, or the domains named. What the sandbox can't keep is refused: `filesystem` knows `full` alone, and `docker` no domains.",
    readers: ["runner"],
    format: { type: "network" },
    local: { use: "optional", unset: "`full` for `filesystem`, `off` for `isolated` and `docker`" },
    cloud: { use: "optional", unset: "`off` for `docker`, `full` for `daytona`" },
    secret: false,
  },
  SANDBOX_IDLE_MINUTES: {
    group: "Sandbox",
    meaning:
      "After how long without use a session's sandbox is stopped, unless something runs in it. The next turn starts it again, without what it held in memory (its `/tmp`). A `daytona` sandbox is stopped by Daytona.",
    readers: ["runner"],
    format: { type: "integer", min: 1 },
    local: { use: "default", value: "30" },
    cloud: { use: "default", value: "30" },
    secret: false,
  },
  SANDBOX_TTL_MINUTES: {
    group: "Sandbox",
    meaning:
      "After how long a session's sandbox is removed, once it is not in use; the session's next turn gets a new one, and is told so. Workspaces on this machine stay. A `daytona` sandbox is deleted, with its files, when it has been stopped for so long.",
    readers: ["runner"],
    format: { type: "integer", min: 1 },
    local: { use: "optional", unset: "with its session" },
    cloud: { use: "optional", unset: "with its session" },
    secret: false,
  },
  SANDBOX_DOCKER_IMAGE: {
    group: "Sandbox",
    meaning: "Image of a `docker` sandbox. It must have `/bin/sh`, `env` and `grep`.",
    readers: ["runner"],
    format: { type: "text" },
    local: { use: "default", value: "node:24-bookworm" },
    cloud: { use: "default", value: "node:24-bookworm" },
    secret: false,
  },
  SANDBOX_DOCKER_PULL: {
    group: "Sandbox",
    meaning: "When that image is fetched from its registry: when the engine doesn't have it, not at all, or each time.",
    readers: ["runner"],
    format: { type: "choice", values: ["missing", "never", "always"] },
    local: { use: "default", value: "missing" },
    cloud: { use: "default", value: "missing" },
    secret: false,
  },
  DOCKER_HOST: {
    group: "Sandbox",
    meaning: "The Docker Engine of a `docker` sandbox: a socket of this machine, `unix:///…`.",
    readers: ["runner"],
    format: { type: "text" },
    local: { use: "optional", unset: "`unix:///var/run/docker.sock`" },
    cloud: { use: "optional", unset: "`unix:///var/run/docker.sock`" },
    secret: false,
  },
  DAYTONA_API_KEY: {
    group: "Sandbox",
    meaning: "Daytona's key. Required when `SANDBOX_TYPE` is `daytona`.",
    readers: ["runner"],
    format: { type: "text" },
    local: { use: "ignored" },
    cloud: { use: "optional", unset: "an error when the sandbox is `daytona`" },
    secret: true,
  },
  DAYTONA_API_URL: {
    group: "Sandbox",
    meaning: "Daytona's API.",
    readers: ["runner"],
    format: { type: "url", example: "https://app.daytona.io/api" },
    local: { use: "ignored" },
    cloud: { use: "optional", unset: "the SDK's own default" },
    secret: false,
  },
  DAYTONA_TARGET: {
    group: "Sandbox",
    meaning: "Daytona's region.",
    readers: ["runner"],
    format: { type: "text" },
    local: { use: "ignored" },
    cloud: { use: "optional", unset: "the organisation's own" },
    secret: false,
  },
  DAYTONA_DEV_TOOLS_SNAPSHOT_ID: {
    group: "Sandbox",
    meaning: "The snapshot that a Daytona sandbox starts from.",
    readers: ["runner"],
    format: { type: "text" },
    local: { use: "ignored" },
    cloud: { use: "optional", unset: "Daytona's default image" },
    secret: false,
  },
  REDIS_HOST: {
    group: "Redis",
    meaning:
      "Redis, for fan-out, sandbox leases and wake-ups between processes. It holds nothing that may not be lost.",
    readers: ["runner", "server"],
    format: { type: "text" },
    local: { use: "ignored" },
    cloud: { use: "required" },
    secret: false,
  },
  REDIS_PORT: {
    group: "Redis",
    meaning: "Port of Redis.",
    readers: ["runner", "server"],
    format: { type: "integer", min: 1, max: 65_535 },
    local: { use: "ignored" },
    cloud: { use: "default", value: "6379" },
    secret: false,
  },
  REDIS_PASSWORD: {
    group: "Redis",
    meaning: "Password of Redis, taken exactly as it is, spaces included.",
    readers: ["runner", "server"],
    format: { type: "verbatim" },
    local: { use: "ignored" },
    cloud: { use: "optional", unset: "no password is sent" },
    secret: true,
  },
  STIGMER_LLM_PROVIDER: {
    group: "Models",
    meaning: "The provider of the default model.",
    readers: ["runner", "client"],
    format: { type: "choice", values: ["anthropic", "openai", "ollama"] },
    local: { use: "optional", unset: "that of `config.yaml`, else the first whose key is set, else Ollama" },
    cloud: { use: "optional", unset: "the first whose key is set" },
    secret: false,
  },
  STIGMER_LLM_MODEL: {
    group: "Models",
    meaning: "The default model: `model`, or `provider:model`.",
    readers: ["runner", "client"],
    format: { type: "text" },
    local: { use: "optional", unset: "that of `config.yaml`, else the provider's default" },
    cloud: { use: "optional", unset: "the provider's default" },
    secret: false,
  },
  STIGMER_LLM_API_KEY: {
    group: "Models",
    meaning: "Key for the provider of the default model, before the provider's own variable.",
    readers: ["runner", "client"],
    format: { type: "text" },
    local: { use: "optional", unset: "the provider's own variable" },
    cloud: { use: "optional", unset: "the provider's own variable" },
    secret: true,
  },
  STIGMER_LLM_MAX_TOKENS: {
    group: "Models",
    meaning: "Most tokens that a model may answer with in one turn.",
    readers: ["runner", "client"],
    format: { type: "integer", min: 1 },
    local: { use: "optional", unset: "the model's own limit" },
    cloud: { use: "optional", unset: "the model's own limit" },
    secret: false,
  },
  STIGMER_LLM_TEMPERATURE: {
    group: "Models",
    meaning: "Sampling temperature.",
    readers: ["runner", "client"],
    format: { type: "number", min: 0, max: 2 },
    local: { use: "optional", unset: "the model's own" },
    cloud: { use: "optional", unset: "the model's own" },
    secret: false,
  },
  ANTHROPIC_API_KEY: {
    group: "Models",
    meaning: "Anthropic's key.",
    readers: ["runner", "client"],
    format: { type: "text" },
    local: { use: "optional", unset: "Anthropic is not available" },
    cloud: { use: "optional", unset: "Anthropic is not available" },
    secret: true,
  },
  ANTHROPIC_BASE_URL: {
    group: "Models",
    meaning: "Where Anthropic's API is reached.",
    readers: ["runner", "client"],
    format: { type: "url", example: "https://api.anthropic.com" },
    local: { use: "optional", unset: "Anthropic's own" },
    cloud: { use: "optional", unset: "Anthropic's own" },
    secret: false,
  },
  OPENAI_API_KEY: {
    group: "Models",
    meaning: "OpenAI's key.",
    readers: ["runner", "client"],
    format: { type: "text" },
    local: { use: "optional", unset: "OpenAI is not available" },
    cloud: { use: "optional", unset: "OpenAI is not available" },
    secret: true,
  },
  OPENAI_BASE_URL: {
    group: "Models",
    meaning: "Where OpenAI's API, or one that speaks like it, is reached.",
    readers: ["runner", "client"],
    format: { type: "url", example: "https://api.openai.com/v1" },
    local: { use: "optional", unset: "OpenAI's own" },
    cloud: { use: "optional", unset: "OpenAI's own" },
    secret: false,
  },
  OLLAMA_BASE_URL: {
    group: "Models",
    meaning: "Where Ollama is reached.",
    readers: ["runner", "client"],
    format: { type: "url", example: "http://localhost:11434" },
    local: { use: "default", value: "http://localhost:11434" },
    cloud: { use: "default", value: "http://localhost:11434" },
    secret: false,
  },
  STIGMER_DATABASE_URL: {
    group: "Storage",
    meaning: "The server's database.",
    readers: ["server", "runner"],
    format: { type: "database" },
    local: { use: "optional", unset: "`stigmer.db` in the data folder" },
    cloud: { use: "required", by: "server" },
    secret: true,
  },
  STIGMER_CHECKPOINT_URL: {
    group: "Storage",
    meaning: "The database of the runs' checkpoints.",
    readers: ["runner"],
    format: { type: "database" },
    local: { use: "optional", unset: "`checkpoints.db` in the data folder" },
    cloud: { use: "required" },
    secret: true,
  },
  STIGMER_ENCRYPTION_KEY: {
    group: "Storage",
    meaning: "The key that secrets are encrypted with at rest: 32 bytes, in base64 or hex.",
    readers: ["server", "runner"],
    format: { type: "key", bytes: 32 },
    local: { use: "optional", unset: "`encryption.key` in the data folder" },
    cloud: { use: "required", by: "server" },
    secret: true,
  },
} as const;

/** The name of a variable that Stigmer reads. */
export type VariableName = keyof typeof variables;

/** Variables whose values are secrets: keys, passwords, and URLs that may carry one. Keep them out of agents' environments and logs. */
export const secretNames: readonly VariableName[] = (Object.keys(variables) as VariableName[]).filter(
  (name) => variables[name].secret,
);
