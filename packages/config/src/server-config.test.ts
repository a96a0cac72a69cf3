import { expect, test } from "vitest";
import { readServerConfig } from "./server-config.ts";

const home = "/home/ada";
const key = Buffer.alloc(32, 1).toString("hex");

const cloudEnv = {
  TEMPORAL_SERVICE_ADDRESS: "temporal:7233",
  TEMPORAL_NAMESPACE: "agents",
  REDIS_HOST: "redis",
  STIGMER_DATABASE_URL: "postgresql://u:pw@db/stigmer",
  STIGMER_ENCRYPTION_KEY: key,
};

function problems(env: Record<string, string>): string[] {
  const result = readServerConfig(env, { home });
  return result.ok ? [] : result.problems.map((problem) => problem.message);
}

test("local mode", () => {
  expect(readServerConfig({ MODE: "local" }, { home })).toMatchObject({
    ok: true,
    config: {
      mode: "local",
      port: 50051,
      allowedOrigins: [],
      engine: { type: "embedded" },
      database: { type: "sqlite", file: "/home/ada/.stigmer/data/stigmer.db" },
      encryption: { type: "file", path: "/home/ada/.stigmer/data/encryption.key" },
      homes: { localKeyFile: "/home/ada/.stigmer/local.key" },
      workflowTaskQueue: "agent_execution_stigmer",
      runnerTaskQueue: "agent_execution_runner",
    },
  });
});

test("local mode with everything moved", () => {
  const env = {
    MODE: "local",
    STIGMER_PORT: "0",
    STIGMER_DATA_DIR: "/data",
    STIGMER_ENCRYPTION_KEY: key,
    TEMPORAL_AGENT_EXECUTION_STIGMER_TASK_QUEUE: "w",
    TEMPORAL_AGENT_EXECUTION_RUNNER_TASK_QUEUE: "a",
    TEMPORAL_SERVICE_ADDRESS: "localhost:7233",
  };
  const result = readServerConfig(env, { home });
  expect(result).toMatchObject({
    ok: true,
    config: {
      port: 0,
      engine: { type: "temporal", address: "localhost:7233", namespace: "default" },
      database: { type: "sqlite", file: "/data/stigmer.db" },
      encryption: { type: "key", key: new Uint8Array(32).fill(1) },
      workflowTaskQueue: "w",
      runnerTaskQueue: "a",
    },
  });
  expect(result).not.toHaveProperty("config.redis");
});

test("web pages that may call", () => {
  const origins = (text: string): Record<string, string> => ({ MODE: "local", STIGMER_ALLOWED_ORIGINS: text });
  expect(
    readServerConfig(origins("https://app.example.com, http://localhost:5173,chrome-extension://abcdef"), { home }),
  ).toMatchObject({
    config: { allowedOrigins: ["https://app.example.com", "http://localhost:5173", "chrome-extension://abcdef"] },
  });
  for (const wrong of [
    "*",
    "null",
    "https://*.example.com",
    "app.example.com",
    "https://app.example.com/",
    "https://APP.example.com",
    "https://app.example.com:443",
    "https://app.example.com,",
  ]) {
    expect(problems(origins(wrong))).toEqual([
      `STIGMER_ALLOWED_ORIGINS is ${JSON.stringify(wrong)}: expected origins separated by commas, each scheme, host and port alone, for example https://app.example.com`,
    ]);
  }
});

test("cloud mode", () => {
  expect(readServerConfig(cloudEnv, { home })).toMatchObject({
    ok: true,
    config: {
      mode: "cloud",
      engine: { type: "temporal", address: "temporal:7233", namespace: "agents" },
      database: { type: "postgres", url: "postgresql://u:pw@db/stigmer" },
      encryption: { type: "key" },
      redis: { host: "redis", port: 6379 },
    },
  });
});

test("cloud mode names all it misses", () => {
  expect(problems({})).toEqual(Object.keys(cloudEnv).map((name) => `Missing required environment variable: ${name}`));
});

test("the limits of an organization", () => {
  const limits = { callsPerSecond: 50, callBurst: 100, maxCalls: 3, maxRuns: 100, maxWaitingRuns: 10_000 };
  expect(readServerConfig(cloudEnv, { home })).toMatchObject({ config: { limits } });
  expect(readServerConfig({ ...cloudEnv, STIGMER_RATE_LIMIT_PER_SECOND: "1000" }, { home })).toMatchObject({
    config: { limits: { ...limits, callsPerSecond: 1000, callBurst: 2000 } },
  });
  expect(
    problems({
      ...cloudEnv,
      STIGMER_RATE_LIMIT_PER_SECOND: "0",
      STIGMER_RATE_LIMIT_BURST: "many",
      STIGMER_MAX_RUNS_PER_ORG: "1.5",
      STIGMER_MAX_WAITING_RUNS_PER_ORG: "-1",
    }),
  ).toEqual([
    'STIGMER_RATE_LIMIT_PER_SECOND is "0": expected a whole number from 1 to 1000000',
    'STIGMER_RATE_LIMIT_BURST is "many": expected a whole number from 1 to 10000000',
    'STIGMER_MAX_RUNS_PER_ORG is "1.5": expected a whole number from 1 to 1000000',
    'STIGMER_MAX_WAITING_RUNS_PER_ORG is "-1": expected a whole number from 1 to 1000000',
  ]);
  expect(problems({ ...cloudEnv, STIGMER_RATE_LIMIT_BURST: "49" })).toEqual([
    'STIGMER_RATE_LIMIT_BURST is "49": expected at least STIGMER_RATE_LIMIT_PER_SECOND, which is 50',
  ]);
  // One machine's user is not limited, whatever else runs there.
  expect(readServerConfig({ MODE: "local", STIGMER_RATE_LIMIT_PER_SECOND: "0" }, { home })).toMatchObject({ ok: true });
});

test("OIDC takes issuer and audience together", () => {
  const STIGMER_OIDC_ISSUER = "https://id.example.com";
  expect(problems({ ...cloudEnv, STIGMER_OIDC_ISSUER })).toEqual([
    "Missing required environment variable: STIGMER_OIDC_AUDIENCE",
  ]);
  expect(problems({ ...cloudEnv, STIGMER_OIDC_AUDIENCE: "stigmer" })).toEqual([
    "Missing required environment variable: STIGMER_OIDC_ISSUER",
  ]);
  expect(readServerConfig({ ...cloudEnv, STIGMER_OIDC_ISSUER, STIGMER_OIDC_AUDIENCE: "stigmer" })).toMatchObject({
    config: { oidc: { issuer: "https://id.example.com", audience: "stigmer" } },
  });
});

test("wrong values", () => {
  expect(
    problems({
      ...cloudEnv,
      MODE: "local",
      STIGMER_PORT: "65536",
      STIGMER_DATABASE_URL: "mysql://db",
      STIGMER_ENCRYPTION_KEY: "short",
    }),
  ).toEqual([
    'STIGMER_PORT is "65536": expected a whole number from 0 to 65535',
    "STIGMER_DATABASE_URL has a value that can't be used (not shown: it is a secret): expected the path of a SQLite file or a postgres:// URL",
    "STIGMER_ENCRYPTION_KEY has a value that can't be used (not shown: it is a secret): expected 32 bytes in base64 or hex, for example the output of: openssl rand -base64 32",
  ]);
  expect(problems({ MODE: "both" })).toEqual(['MODE is "both": expected local or cloud']);
});

test("where a cloud server listens, and with which certificate; both files or none", () => {
  expect(readServerConfig(cloudEnv, { home })).toMatchObject({ config: { host: "0.0.0.0", drainSeconds: 5 } });
  const tls = { STIGMER_TLS_CERT_FILE: "/etc/tls/tls.crt", STIGMER_TLS_KEY_FILE: "/etc/tls/tls.key" };
  expect(readServerConfig({ ...cloudEnv, ...tls, STIGMER_LISTEN_HOST: "::" }, { home })).toMatchObject({
    config: { host: "::", tls: { certFile: "/etc/tls/tls.crt", keyFile: "/etc/tls/tls.key" } },
  });
  for (const [name, other] of [
    ["STIGMER_TLS_CERT_FILE", "STIGMER_TLS_KEY_FILE"],
    ["STIGMER_TLS_KEY_FILE", "STIGMER_TLS_CERT_FILE"],
  ] as const) {
    expect(problems({ ...cloudEnv, [name]: "/x" })).toEqual([`Missing required environment variable: ${other}`]);
  }
});
