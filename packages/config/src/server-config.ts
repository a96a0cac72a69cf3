import { join } from "node:path";
import { cloudEngine, type Engine, localEngine, type TemporalEngine } from "./engine.ts";
import type { Environment } from "./environment.ts";
import type { DatabaseLocation, PostgresLocation } from "./formats.ts";
import { type Homes, resolveHome } from "./home.ts";
import type { ConfigProblem } from "./problems.ts";
import { type Endpoint, metricsOf, type TracesConfig, tracesOf } from "./observability.ts";
import type { LogLevel } from "./read-config.ts";
import { readMode, readVariables, type Values } from "./read-variables.ts";
import { redisOf, type RedisConfig } from "./redis.ts";

interface SharedServerConfig {
  /** The deployment environment (`ENV`), if named. Decides nothing here. */
  readonly environment?: string;
  readonly logLevel: LogLevel;
  readonly homes: Homes;
  /** 0 takes any free port. */
  readonly port: number;
  /** Whose web pages may call. */
  readonly allowedOrigins: readonly string[];
  /** Where `/metrics` is served; absent: nowhere, and nothing is counted. */
  readonly metrics?: Endpoint;
  readonly traces: TracesConfig;
  /** Unset: for ever. */
  readonly retentionDays?: number;
  readonly auditDays: number;
  /** The queue that workflows are taken from. */
  readonly workflowTaskQueue: string;
  /** The queue that runners take activities from; named in each workflow's start arguments. */
  readonly runnerTaskQueue: string;
}

/** Where the key that encrypts secrets at rest comes from: 32 bytes, or the file that keeps them. */
export type EncryptionKeySource =
  | { readonly type: "key"; readonly key: Uint8Array }
  | { readonly type: "file"; readonly path: string };

/** A server for one user on one machine. Listens on 127.0.0.1 alone. */
export interface LocalServerConfig extends SharedServerConfig {
  readonly mode: "local";
  readonly isLocalMode: true;
  readonly engine: Engine;
  readonly database: DatabaseLocation;
  readonly encryption: EncryptionKeySource;
  /** By which names it is called besides those of the loopback interface. */
  readonly allowedHosts: readonly string[];
}

/** What one organization may take of a server that others use too. */
export interface OrganizationLimits {
  /** Calls in a second, over time. */
  readonly callsPerSecond: number;
  /** Calls at once after a quiet while. */
  readonly callBurst: number;
  /** Runs in work at once; others wait. */
  readonly maxCalls: number;
  readonly maxRuns: number;
  /** Runs that wait; no more are taken. */
  readonly maxWaitingRuns: number;
}

/** A server of a service. */
export interface CloudServerConfig extends SharedServerConfig {
  readonly mode: "cloud";
  readonly isLocalMode: false;
  readonly engine: TemporalEngine;
  readonly database: PostgresLocation;
  readonly encryption: { readonly type: "key"; readonly key: Uint8Array };
  readonly redis: RedisConfig;
  readonly limits: OrganizationLimits;
  /** The address to listen on. */
  readonly host: string;
  /** How long it serves on after it was asked to stop, while its health says that it does not. */
  readonly drainSeconds: number;
  /** Absent: the server speaks plain text. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  /** Whose tokens are accepted beside API keys. */
  readonly oidc?: OidcConfig;
}

/** The issuer of tokens, and which of their claims say whom they are of. */
export interface OidcConfig {
  readonly issuer: string;
  readonly audience: string;
  readonly orgClaim: string;
  readonly roleClaim: string;
}

export type ServerConfig = LocalServerConfig | CloudServerConfig;

export type ServerConfigResult =
  | { readonly ok: true; readonly config: ServerConfig }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** Reads the server's configuration. Never throws for what is wrong: all problems come back at once. `home` is what `~` stands for. */
export function readServerConfig(
  env: Environment = process.env,
  options: { readonly home?: string } = {},
): ServerConfigResult {
  const mode = readMode(env, "server");
  if (!mode.ok) return mode;
  const homes = resolveHome(env, options);
  return mode.mode === "local" ? readLocal(env, homes, options.home) : readCloud(env, homes, options.home);
}

function readLocal(env: Environment, homes: Homes, home: string | undefined): ServerConfigResult {
  const result = readVariables(env, { mode: "local", reader: "server", home });
  if (!result.ok) return result;
  const { values } = result;
  const key = values.STIGMER_ENCRYPTION_KEY;
  return {
    ok: true,
    config: {
      mode: "local",
      isLocalMode: true,
      ...sharedBy(values, homes),
      ...metricsOf("127.0.0.1", values.STIGMER_METRICS_PORT),
      engine: localEngine(values),
      database: values.STIGMER_DATABASE_URL ?? { type: "sqlite", file: join(homes.dataDir, "stigmer.db") },
      allowedHosts: (values.STIGMER_ALLOWED_HOSTS ?? "")
        .split(",")
        .map((name) => name.trim().toLowerCase())
        .filter(Boolean),
      encryption: key ? { type: "key", key } : { type: "file", path: join(homes.dataDir, "encryption.key") },
    },
  };
}

function readCloud(env: Environment, homes: Homes, home: string | undefined): ServerConfigResult {
  const result = readVariables(env, { mode: "cloud", reader: "server", home });
  if (!result.ok) return result;
  const { values } = result;
  const { STIGMER_OIDC_ISSUER: issuer, STIGMER_OIDC_AUDIENCE: audience } = values;
  const { STIGMER_TLS_CERT_FILE: certFile, STIGMER_TLS_KEY_FILE: keyFile } = values;
  const { STIGMER_OIDC_ORG_CLAIM: orgClaim, STIGMER_OIDC_ROLE_CLAIM: roleClaim } = values;
  return {
    ok: true,
    config: {
      mode: "cloud",
      isLocalMode: false,
      ...sharedBy(values, homes),
      ...metricsOf("::", values.STIGMER_METRICS_PORT),
      engine: cloudEngine(values),
      database: values.STIGMER_DATABASE_URL,
      encryption: { type: "key", key: values.STIGMER_ENCRYPTION_KEY },
      redis: redisOf(values),
      limits: limitsOf(values),
      host: values.STIGMER_LISTEN_HOST,
      drainSeconds: values.STIGMER_DRAIN_SECONDS,
      ...(certFile && keyFile && { tls: { certFile, keyFile } }),
      ...(issuer && audience && { oidc: { issuer, audience, orgClaim, roleClaim } }),
    },
  };
}

function limitsOf(values: Values<"cloud", "server">): OrganizationLimits {
  const callsPerSecond = values.STIGMER_RATE_LIMIT_PER_SECOND;
  return {
    callsPerSecond,
    callBurst: values.STIGMER_RATE_LIMIT_BURST ?? 2 * callsPerSecond,
    maxCalls: values.STIGMER_MAX_CALLS_PER_ORG,
    maxRuns: values.STIGMER_MAX_RUNS_PER_ORG,
    maxWaitingRuns: values.STIGMER_MAX_WAITING_RUNS_PER_ORG,
  };
}

function sharedBy(values: Values<"local", "server"> | Values<"cloud", "server">, homes: Homes): SharedServerConfig {
  return {
    ...(values.ENV && { environment: values.ENV }),
    logLevel: values.LOG_LEVEL,
    homes,
    port: values.STIGMER_PORT,
    allowedOrigins: values.STIGMER_ALLOWED_ORIGINS ?? [],
    traces: tracesOf(values),
    ...(values.STIGMER_RETENTION_DAYS !== undefined && { retentionDays: values.STIGMER_RETENTION_DAYS }),
    auditDays: values.STIGMER_AUDIT_DAYS,
    workflowTaskQueue: values.TEMPORAL_AGENT_EXECUTION_STIGMER_TASK_QUEUE,
    runnerTaskQueue: values.TEMPORAL_AGENT_EXECUTION_RUNNER_TASK_QUEUE,
  };
}
