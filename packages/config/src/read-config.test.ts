import { expect, expectTypeOf, test } from "vitest";
import { ConfigError } from "./problems.ts";
import { type CloudConfig, type Config, type LocalConfig, loadConfig, readConfig } from "./read-config.ts";

const options = { home: "/home/ada", readLocalKey: (): undefined => undefined };

const cloudEnv = {
  MODE: "cloud",
  STIGMER_BACKEND_ENDPOINT: "api.example.com:443",
  STIGMER_API_KEY: "stk_cloud",
  TEMPORAL_SERVICE_ADDRESS: "temporal.example.com:7233",
  TEMPORAL_NAMESPACE: "agents",
  REDIS_HOST: "redis.example.com",
  DAYTONA_API_KEY: "dtn_key",
  STIGMER_CHECKPOINT_URL: "postgres://runner:pw@db.example.com/checkpoints",
};

function local(env: Record<string, string> = {}): LocalConfig {
  const config = loadConfig({ MODE: "local", ...env }, options);
  if (config.mode !== "local") throw new Error("expected local mode");
  return config;
}

function cloud(env: Record<string, string> = {}): CloudConfig {
  const config = loadConfig({ ...cloudEnv, ...env }, options);
  if (config.mode !== "cloud") throw new Error("expected cloud mode");
  return config;
}

function problems(env: Record<string, string>): string[] {
  const result = readConfig(env, options);
  return result.ok ? [] : result.problems.map((problem) => problem.message);
}

test("local mode needs nothing but its name", () => {
  const { resolveModel, sandboxConfig, sandboxConfigs, ...config } = local();
  expect(config).toEqual({
    mode: "local",
    isLocalMode: true,
    logLevel: "INFO",
    homes: {
      home: "/home/ada/.stigmer",
      configFile: "/home/ada/.stigmer/config.yaml",
      localKeyFile: "/home/ada/.stigmer/local.key",
      dataDir: "/home/ada/.stigmer/data",
      logsDir: "/home/ada/.stigmer/logs",
      binDir: "/home/ada/.stigmer/bin",
      workspacesDir: "/home/ada/.stigmer/workspaces",
      runDir: "/home/ada/.stigmer/run",
    },
    backend: { endpoint: "localhost:50051", tls: false, apiKey: "dummy-local-key" },
    engine: { type: "embedded" },
    taskQueue: "agent_execution_runner",
    maxConcurrency: 10,
    ollamaBaseUrl: "http://localhost:11434",
    statusUpdateEveryEvents: 10,
    traces: { resourceAttributes: {} },
    sandboxKeeping: { idleMinutes: 30 },
    checkpoints: { type: "sqlite", file: "/home/ada/.stigmer/data/checkpoints.db" },
  });
  expect(sandboxConfig()).toEqual({ type: "filesystem", rootDir: "./workspace" });
  expect(sandboxConfigs()[0]).toEqual(sandboxConfig());
  expect(resolveModel({ ollamaReachable: false }).provider).toBe("none");
});

test("health is served on this machine alone in local mode, and only when asked for", () => {
  expect(local().health).toBeUndefined();
  expect(local({ STIGMER_RUNNER_HEALTH_PORT: "8081" }).health).toEqual({ host: "127.0.0.1", port: 8081 });
  expect(local({ STIGMER_RUNNER_HEALTH_PORT: "0" }).health).toEqual({ host: "127.0.0.1", port: 0 });
  expect(problems({ MODE: "local", STIGMER_RUNNER_HEALTH_PORT: "65536" })).toEqual([
    expect.stringContaining("STIGMER_RUNNER_HEALTH_PORT"),
  ]);
});

test("cloud mode with what it requires", () => {
  const { resolveModel, sandboxConfig, sandboxConfigs, homes, ...config } = cloud();
  expect(config).toEqual({
    mode: "cloud",
    isLocalMode: false,
    logLevel: "INFO",
    backend: { endpoint: "api.example.com:443", tls: true, apiKey: "stk_cloud" },
    engine: { type: "temporal", address: "temporal.example.com:7233", namespace: "agents" },
    taskQueue: "agent_execution_runner",
    maxConcurrency: 10,
    ollamaBaseUrl: "http://localhost:11434",
    statusUpdateEveryEvents: 10,
    traces: { resourceAttributes: {} },
    sandboxKeeping: { idleMinutes: 30 },
    checkpoints: { type: "postgres", url: "postgres://runner:pw@db.example.com/checkpoints" },
    redis: { host: "redis.example.com", port: 6379 },
    health: { host: "::", port: 8080 },
    allowsMcpPrograms: false,
    daytona: { apiKey: "dtn_key" },
  });
  expect(sandboxConfig()).toEqual({ type: "daytona" });
  expect(sandboxConfigs()).toEqual([sandboxConfig()]);
  expect(homes.home).toBe("/home/ada/.stigmer");
  expect(resolveModel({ ollamaReachable: false }).provider).toBe("none");
});

test("the mode is cloud unless it says otherwise, and ENV does not say", () => {
  expect(loadConfig({ ...cloudEnv, MODE: "" }, options).mode).toBe("cloud");
  expect(loadConfig({ ...cloudEnv, MODE: undefined, ENV: "local" }, options)).toMatchObject({
    mode: "cloud",
    environment: "local",
  });
});

test("every missing variable is named at once, one per line", () => {
  const required = [
    "STIGMER_BACKEND_ENDPOINT",
    "STIGMER_API_KEY",
    "TEMPORAL_SERVICE_ADDRESS",
    "TEMPORAL_NAMESPACE",
    "REDIS_HOST",
    "STIGMER_CHECKPOINT_URL",
  ];
  const lines = required.map((name) => `Missing required environment variable: ${name}`);
  expect(problems({})).toEqual(lines);
  expect(problems(Object.fromEntries(required.map((name) => [name, ""])))).toEqual(lines);
  expect(() => loadConfig({}, options)).toThrow(`Failed to load configuration: ${lines.join("\n")}`);
});

test.each(Object.keys(cloudEnv).filter((name) => !["MODE", "DAYTONA_API_KEY"].includes(name)))(
  "cloud mode requires %s",
  (name) => {
    expect(problems({ ...cloudEnv, [name]: "" })).toEqual([`Missing required environment variable: ${name}`]);
  },
);

test("missing and wrong variables come together, with the rules between variables", () => {
  expect(
    problems({ MODE: "local", LOG_LEVEL: "loud", STIGMER_ENGINE: "temporal", STATUS_UPDATE_EVERY_EVENTS: "0" }),
  ).toEqual([
    'LOG_LEVEL is "loud": expected DEBUG, INFO, WARN or ERROR',
    'STATUS_UPDATE_EVERY_EVENTS is "0": expected a whole number, at least 1',
    "Missing required environment variable: TEMPORAL_SERVICE_ADDRESS",
  ]);
});

test("an unknown mode is reported with what is wrong in either mode", () => {
  expect(problems({ MODE: "prod", LOG_LEVEL: "loud", SANDBOX_TYPE: "daytona" })).toEqual([
    'MODE is "prod": expected local or cloud',
    'LOG_LEVEL is "loud": expected DEBUG, INFO, WARN or ERROR',
  ]);
});

test.each([
  ["local", "SANDBOX_TYPE", "daytona", "filesystem, isolated or docker in local mode"],
  ["cloud", "SANDBOX_TYPE", "filesystem", "daytona or docker in cloud mode"],
  ["local", "SANDBOX_TYPES", "isolated,attic", "filesystem, isolated or docker in local mode, separated by commas"],
  ["cloud", "SANDBOX_TYPES", "docker,isolated", "daytona or docker in cloud mode, separated by commas"],
  ["cloud", "STIGMER_ENGINE", "embedded", "temporal in cloud mode"],
  ["local", "STIGMER_ENGINE", "magic", "embedded or temporal in local mode"],
  [
    "local",
    "STIGMER_BACKEND_ENDPOINT",
    "https://api.example.com/v1",
    "host:port or https://host:port, for example localhost:50051",
  ],
  ["local", "TEMPORAL_SERVICE_ADDRESS", "temporal", "host:port without a scheme, for example localhost:7233"],
  ["local", "TEMPORAL_MAX_CONCURRENCY", "1.5", "a whole number, at least 1"],
  ["local", "STATUS_UPDATE_EVERY_EVENTS", "-1", "a whole number, at least 1"],
  ["cloud", "REDIS_PORT", "70000", "a whole number from 1 to 65535"],
  ["cloud", "DAYTONA_API_URL", "daytona", "an http:// or https:// URL, for example https://app.daytona.io/api"],
  ["local", "SANDBOX_NETWORK", "a b", "off, full, or domains separated by commas, for example pypi.org,*.npmjs.org"],
  ["local", "SANDBOX_DOCKER_PULL", "often", "missing, never or always"],
  ["cloud", "SANDBOX_IDLE_MINUTES", "0", "a whole number, at least 1"],
  ["local", "STIGMER_LLM_PROVIDER", "bedrock", "anthropic, openai or ollama"],
  ["local", "STIGMER_LLM_MAX_TOKENS", "many", "a whole number, at least 1"],
  ["local", "STIGMER_LLM_TEMPERATURE", "2.1", "a number from 0 to 2"],
  ["local", "OLLAMA_BASE_URL", "localhost:11434", "an http:// or https:// URL, for example http://localhost:11434"],
])("in %s mode %s=%s is refused", (mode, name, value, expected) => {
  const env = mode === "cloud" ? cloudEnv : { MODE: "local" };
  expect(problems({ ...env, [name]: value })).toEqual([`${name} is "${value}": expected ${expected}`]);
});

test("a model of one provider under the name of another is refused", () => {
  expect(problems({ MODE: "local", STIGMER_LLM_PROVIDER: "openai", STIGMER_LLM_MODEL: "anthropic:claude-x" })).toEqual([
    'STIGMER_LLM_MODEL is "anthropic:claude-x": expected a model of the provider in STIGMER_LLM_PROVIDER, which is "openai"',
  ]);
});

test("a secret's value is in no problem", () => {
  const lines = problems({
    ...cloudEnv,
    STIGMER_CHECKPOINT_URL: "mysql://u:canary@host",
    STIGMER_ENCRYPTION_KEY: "canary",
    DAYTONA_API_URL: "ftp://u:can/ary@host",
  });
  expect(lines).toHaveLength(3);
  expect(lines.join()).not.toMatch(/canary|can\/ary/);
});

test("local mode has no Redis fields, at run time or in types", () => {
  expect(local({ REDIS_HOST: "redis", REDIS_PORT: "not even looked at" })).not.toHaveProperty("redis");
  expectTypeOf<Extract<keyof LocalConfig, "redis" | "daytona">>().toEqualTypeOf<never>();
  expectTypeOf<Config["isLocalMode"]>().toEqualTypeOf<boolean>();
});

test("Redis with port and password, which keeps its spaces", () => {
  expect(cloud({ REDIS_PORT: "6380", REDIS_PASSWORD: " pw " }).redis).toEqual({
    host: "redis.example.com",
    port: 6380,
    password: " pw ",
  });
});

test("Redis with a user of its own, encrypted", () => {
  const user = { REDIS_USERNAME: "stigmer", REDIS_PASSWORD: "pw" };
  const named = { host: "redis.example.com", port: 6379, username: "stigmer", password: "pw" };
  expect(cloud(user).redis).toEqual(named);
  expect(cloud({ ...user, REDIS_TLS: "true" }).redis).toEqual({ ...named, tls: {} });
  expect(cloud({ ...user, REDIS_TLS: "true", REDIS_CA_FILE: "~/redis.pem" }).redis).toEqual({
    ...named,
    tls: { caFile: "/home/ada/redis.pem" },
  });
});

test.each([
  [{ REDIS_USERNAME: "stigmer" }, "Missing required environment variable: REDIS_PASSWORD"],
  [{ REDIS_TLS: "yes" }, 'REDIS_TLS is "yes": expected true or false'],
  [{ REDIS_CA_FILE: "/redis.pem" }, 'REDIS_TLS is "": expected true, since REDIS_CA_FILE is set'],
])("what would reach Redis otherwise than meant is refused: %j", (env, line) => {
  expect(problems({ ...cloudEnv, ...env })).toEqual([line]);
});

test("the sandbox of a service is Daytona's when a key is there, else docker", () => {
  const none = { DAYTONA_API_KEY: "" };
  expect(cloud().sandboxConfig().type).toBe("daytona");
  expect(cloud(none).sandboxConfig().type).toBe("docker");
  expect(cloud(none)).not.toHaveProperty("daytona");
  expect(cloud({ SANDBOX_TYPE: "docker" }).sandboxConfig().type).toBe("docker");
  expect(cloud({ SANDBOX_TYPE: "docker" })).not.toHaveProperty("daytona");
  expect(problems({ ...cloudEnv, ...none, SANDBOX_TYPE: "daytona" })).toEqual([
    "Missing required environment variable: DAYTONA_API_KEY",
  ]);
  expect(problems({ ...cloudEnv, ...none, DOCKER_HOST: "tcp://build:2376" })).toEqual([
    expect.stringContaining("DOCKER_HOST"),
  ]);
});

test("the engine in local mode follows Temporal's address unless it is named", () => {
  const TEMPORAL_SERVICE_ADDRESS = "localhost:7233";
  expect(local({ TEMPORAL_SERVICE_ADDRESS }).engine).toEqual({
    type: "temporal",
    address: "localhost:7233",
    namespace: "default",
  });
  expect(local({ TEMPORAL_SERVICE_ADDRESS, STIGMER_ENGINE: "embedded" }).engine).toEqual({ type: "embedded" });
  expect(local({ TEMPORAL_SERVICE_ADDRESS, STIGMER_ENGINE: "temporal", TEMPORAL_NAMESPACE: "n" }).engine).toMatchObject(
    {
      namespace: "n",
    },
  );
  expect(problems({ MODE: "local", STIGMER_ENGINE: "temporal" })).toEqual([
    "Missing required environment variable: TEMPORAL_SERVICE_ADDRESS",
  ]);
});

test("sandboxes of local mode", () => {
  const SANDBOX_ROOT_DIR = "~/work";
  expect(local({ SANDBOX_ROOT_DIR }).sandboxConfig()).toEqual({ type: "filesystem", rootDir: "/home/ada/work" });
  expect(local({ SANDBOX_TYPE: "isolated" }).sandboxConfig()).toEqual({ type: "isolated", rootDir: "./workspace" });
  expect(local({ SANDBOX_TYPE: "isolated", SANDBOX_NETWORK: "off" }).sandboxConfig()).toMatchObject({
    network: { type: "off" },
  });
  expect(local({ SANDBOX_TYPE: "docker", DOCKER_HOST: "unix:///d.sock" }).sandboxConfig()).toEqual({
    type: "docker",
    image: "node:24-bookworm",
    pull: "missing",
    host: "unix:///d.sock",
    rootDir: "./workspace",
  });
});

test("a session's own workspace stands between SANDBOX_ROOT_DIR and the default", () => {
  const session = { rootDir: "/home/ada/.stigmer/workspaces/ses-1" };
  expect(local().sandboxConfig(session)).toEqual({ type: "filesystem", ...session });
  expect(local({ SANDBOX_ROOT_DIR: "/w" }).sandboxConfig(session)).toEqual({ type: "filesystem", rootDir: "/w" });
  expect(local().sandboxRootDir).toBeUndefined();
  expect(local({ SANDBOX_ROOT_DIR: "/w" }).sandboxRootDir).toBe("/w");
});

test("sandboxes of cloud mode", () => {
  expect(
    cloud({ DAYTONA_DEV_TOOLS_SNAPSHOT_ID: "snap-1", DAYTONA_API_URL: "https://d.example.com", DAYTONA_TARGET: "eu" }),
  ).toMatchObject({
    daytona: { apiKey: "dtn_key", apiUrl: "https://d.example.com", target: "eu" },
  });
  expect(cloud({ DAYTONA_DEV_TOOLS_SNAPSHOT_ID: "snap-1" }).sandboxConfig()).toEqual({
    type: "daytona",
    snapshotId: "snap-1",
  });

  const docker = cloud({
    SANDBOX_TYPE: "docker",
    DAYTONA_API_KEY: "",
    SANDBOX_ROOT_DIR: "/not-used",
    SANDBOX_DOCKER_IMAGE: "tools:1",
    SANDBOX_DOCKER_PULL: "never",
    SANDBOX_NETWORK: "full",
  });
  expect(docker.daytona).toBeUndefined();
  expect(docker.sandboxConfig()).toEqual({
    type: "docker",
    image: "tools:1",
    pull: "never",
    network: { type: "full" },
  });
  expect(cloud({ SANDBOX_NETWORK: "pypi.org, *.npmjs.org" }).sandboxConfig()).toEqual({
    type: "daytona",
    network: { type: "allow-list", domains: ["pypi.org", "*.npmjs.org"] },
  });
});

test("how long sandboxes are kept", () => {
  const env = { SANDBOX_IDLE_MINUTES: "5", SANDBOX_TTL_MINUTES: "600" };
  expect(local(env).sandboxKeeping).toEqual({ idleMinutes: 5, ttlMinutes: 600 });
});

test.each([
  ["filesystem", "off", "full, all that a filesystem sandbox can keep; SANDBOX_TYPE=isolated keeps others"],
  ["filesystem", "full", undefined],
  ["isolated", "pypi.org", undefined],
  ["docker", "pypi.org", "off or full, all that a docker sandbox can keep"],
  ["docker", "off", undefined],
])("a %s sandbox and SANDBOX_NETWORK=%s", (type, network, expected) => {
  const found = problems({ MODE: "local", SANDBOX_TYPE: type, SANDBOX_NETWORK: network });
  expect(found).toEqual(expected === undefined ? [] : [`SANDBOX_NETWORK is "${network}": expected ${expected}`]);
});

test("an engine of another machine is no sandbox's", () => {
  const env = { MODE: "local", DOCKER_HOST: "tcp://ada:secret@build:2376" };
  expect(problems(env)).toEqual([]);
  expect(problems({ ...env, SANDBOX_TYPE: "docker" })).toEqual([
    'DOCKER_HOST is "tcp://***@build:2376": expected the socket of an engine on this machine, unix:///…, for docker sandboxes',
  ]);
});

test("sessions may ask for all that works without a setting, on one machine", () => {
  const offered = (env: Record<string, string>): string[] =>
    local(env)
      .sandboxConfigs()
      .map(({ type }) => type);
  expect(offered({})).toEqual(["filesystem", "isolated", "docker"]);
  expect(offered({ SANDBOX_TYPE: "docker" })).toEqual(["docker", "filesystem", "isolated"]);
  expect(offered({ SANDBOX_TYPES: "filesystem" })).toEqual(["filesystem"]);
  expect(offered({ SANDBOX_TYPE: "isolated", SANDBOX_TYPES: " docker, isolated" })).toEqual(["isolated", "docker"]);
  const rootDir = "/home/ada/.stigmer/workspaces/ses-1";
  expect(local({ SANDBOX_NETWORK: "full" }).sandboxConfigs({ rootDir })).toMatchObject([
    { type: "filesystem", rootDir },
    { type: "isolated", rootDir, network: { type: "full" } },
    { type: "docker", rootDir, network: { type: "full" } },
  ]);
});

test("no session gets around SANDBOX_NETWORK by what it asks for", () => {
  const isolated = { SANDBOX_TYPE: "isolated" };
  const offered = (SANDBOX_NETWORK: string): string[] =>
    local({ ...isolated, SANDBOX_NETWORK })
      .sandboxConfigs()
      .map(({ type }) => type);
  expect(offered("off")).toEqual(["isolated", "docker"]);
  expect(offered("pypi.org")).toEqual(["isolated"]);
  const env = { MODE: "local", ...isolated, SANDBOX_TYPES: "docker,filesystem" };
  expect(problems({ ...env, SANDBOX_NETWORK: "full" })).toEqual([]);
  expect(problems({ ...env, SANDBOX_NETWORK: "off" })).toEqual([
    'SANDBOX_TYPES is "docker,filesystem": expected sandboxes that can keep SANDBOX_NETWORK=off, which filesystem can\'t',
  ]);
});

test("sessions of a service may ask for what its operator names", () => {
  const docker = { SANDBOX_TYPE: "docker" };
  const offered = (env: Record<string, string>): string[] =>
    cloud(env)
      .sandboxConfigs()
      .map(({ type }) => type);
  expect(offered({})).toEqual(["daytona"]);
  expect(offered(docker)).toEqual(["docker"]);
  expect(offered({ ...docker, SANDBOX_TYPES: "docker,daytona" })).toEqual(["docker", "daytona"]);
  expect(cloud({ ...docker, SANDBOX_TYPES: "daytona" }).daytona).toMatchObject({ apiKey: "dtn_key" });
  expect(problems({ ...cloudEnv, ...docker, SANDBOX_TYPES: "daytona", DAYTONA_API_KEY: "" })).toEqual([
    "Missing required environment variable: DAYTONA_API_KEY",
  ]);
  expect(problems({ ...cloudEnv, SANDBOX_TYPES: "docker", DOCKER_HOST: "tcp://build:2376" })).toEqual([
    expect.stringContaining("DOCKER_HOST"),
  ]);
});

test("what is said in numbers, levels and queues", () => {
  expect(
    local({
      LOG_LEVEL: "debug",
      TEMPORAL_MAX_CONCURRENCY: "3",
      STATUS_UPDATE_EVERY_EVENTS: " 7 ",
      TEMPORAL_AGENT_EXECUTION_RUNNER_TASK_QUEUE: "q",
    }),
  ).toMatchObject({ logLevel: "DEBUG", maxConcurrency: 3, statusUpdateEveryEvents: 7, taskQueue: "q" });
});

test("checkpoints and what a runner may share with a server", () => {
  const key = Buffer.alloc(32, 7).toString("base64");
  expect(
    local({ STIGMER_CHECKPOINT_URL: "/c.db", STIGMER_DATABASE_URL: "postgres://h/d", STIGMER_ENCRYPTION_KEY: key }),
  ).toMatchObject({
    checkpoints: { type: "sqlite", file: "/c.db" },
    database: { type: "postgres", url: "postgres://h/d" },
    encryptionKey: new Uint8Array(32).fill(7),
  });
  expect(problems({ ...cloudEnv, STIGMER_CHECKPOINT_URL: "/c.db" })).toEqual([
    "STIGMER_CHECKPOINT_URL has a value that can't be used (not shown: it is a secret): expected a postgres:// URL",
  ]);
});

test("an error of this package is known by its brand", () => {
  const error = new ConfigError([{ code: "missing-variable", variable: "X", message: "m" }]);
  expect(ConfigError.is(error)).toBe(true);
  expect(ConfigError.is(new Error("m"))).toBe(false);
  expect(error).toMatchObject({ name: "ConfigError", code: "missing-variable" });
});
