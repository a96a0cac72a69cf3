// A whole installation in cloud mode on one machine: what people deploy, each part a process that can be killed.
import { execa } from "execa";
import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient, type StigmerClient } from "@stigmer/client";
import { type ScriptedModel, startScriptedModel } from "@stigmer/scripted-model";
import { repository } from "../stigmer.ts";
import { startBalancer } from "./balancer.ts";
import { createPart, type Part } from "./part.ts";
import { createPostgres, createRedis, createTemporal, findPort } from "./services.ts";

const CLI = join(repository, "apps/cli/src/main.ts");
const RUNNER = join(repository, "apps/agent-runner/src/main.ts");
const FIRST_START_MS = 240_000;

export interface Installation extends AsyncDisposable {
  /** Before the servers. */
  readonly endpoint: string;
  /** Each server by itself. */
  readonly endpoints: readonly string[];
  readonly parts: {
    readonly servers: readonly Part[];
    readonly runners: readonly Part[];
    readonly postgres: Part;
    readonly redis: Part;
    readonly temporal: Part;
  };
  readonly model: ScriptedModel;
  readonly databaseUrl: string;
  readonly checkpointUrl: string;
  /** Makes both databases anew, once nobody uses them. */
  emptyDatabases(): Promise<void>;
  /** What each server has of the environment, but for its home. */
  readonly serverEnv: Readonly<Record<string, string>>;
  /** The folder of Postgres' programs. */
  readonly postgresPrograms: string;
  readonly folder: string;
  /** `<host>:<port>`. */
  readonly temporalAddress: string;
  readonly redis: { readonly port: number; readonly password: string };
  /** The Docker engine's address. */
  readonly dockerHost: string;
  /** Where each server, and each runner, tells its metrics. */
  readonly metricsUrls: { readonly servers: readonly string[]; readonly runners: readonly string[] };
  /** Runs a runner that is expected to end by itself, with these options of Node's. */
  runOneMoreRunner(...nodeOptions: readonly string[]): Promise<{ readonly exitCode?: number; readonly all: string }>;
  /** A client of an organisation's member, of whichever server it comes to; of one server with its endpoint. */
  client(org: string, endpoint?: string): StigmerClient;
  /** Ends runners and servers in order, and leaves the rest up to be looked into. */
  stopWork(): Promise<void>;
  /** Writes what each part printed into a folder that outlives the installation; answers the folder. */
  keepLogs(): Promise<string>;
}

export interface InstallationOptions {
  readonly scenario: Parameters<typeof startScriptedModel>[0]["scenario"];
  readonly orgs: readonly string[];
  readonly servers?: number;
  readonly runners?: number;
  /** How many runs a runner works on at a time. */
  readonly concurrency?: number;
  /** How long a server serves on when it is asked to stop. Default 0. */
  readonly drainSeconds?: number;
}

export async function startInstallation(options: InstallationOptions): Promise<Installation> {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-cloud-"));
  await chmod(folder, 0o755);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  const up = async (part: Part): Promise<Part> => {
    stack.defer(async () => void (await part.stop()));
    // What never came up will not: whoever looks wants to know why.
    const failed = new AbortController();
    const late = sleep(FIRST_START_MS, undefined, { signal: failed.signal }).then(() => {
      throw new Error(`${part.name} does not start. ${part.ends.at(-1) ?? ""}\n${part.printed().slice(-2_000)}`);
    });
    await Promise.race([part.start(), late]);
    failed.abort();
    late.catch(() => {});
    return part;
  };

  const model = stack.use(await startScriptedModel({ scenario: options.scenario }));
  const [postgres, redis, temporal] = await Promise.all([
    createPostgres(folder),
    createRedis(folder),
    createTemporal(folder),
  ]);
  await Promise.all([postgres.part, redis.part, temporal.part].map(up));
  await postgres.createDatabases("stigmer", "checkpoints");

  const encryptionKey = randomBytes(32);
  const databaseUrl = postgres.urlOf("stigmer");
  const shared = {
    MODE: "cloud",
    NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? join(folder, "compile-cache"),
    TEMPORAL_SERVICE_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: "default",
    REDIS_HOST: "127.0.0.1",
    REDIS_PORT: String(redis.port),
    REDIS_PASSWORD: redis.password,
    LOG_LEVEL: "INFO",
  };
  const node = [process.execPath, "--conditions=@stigmer/source"] as const;
  const serverEnv = {
    ...shared,
    STIGMER_DRAIN_SECONDS: String(options.drainSeconds ?? 0),
    STIGMER_DATABASE_URL: databaseUrl,
    STIGMER_ENCRYPTION_KEY: encryptionKey.toString("base64"),
  };
  const manyPorts = (length: number): Promise<number[]> => Promise.all(Array.from({ length }, findPort));
  const ports = await manyPorts(options.servers ?? 2);
  const metricsPorts = { servers: await manyPorts(ports.length), runners: await manyPorts(options.runners ?? 3) };
  const servers = ports.map((port, index) =>
    createPart({
      name: `server-${index + 1}`,
      command: [...node, CLI, "server", "run", "--port", String(port)],
      cwd: folder,
      env: {
        ...serverEnv,
        STIGMER_HOME: join(folder, `server-${index + 1}`),
        STIGMER_METRICS_PORT: String(metricsPorts.servers[index]),
      },
      ready: /stigmer-server is ready on/,
    }),
  );
  await Promise.all(servers.map(up));
  const keys = await makeKeys({
    orgs: options.orgs,
    command: [...node, CLI],
    env: { ...serverEnv, PATH: process.env["PATH"], STIGMER_HOME: join(folder, "keys") },
    cwd: folder,
  });
  const balancer = stack.use(await startBalancer(ports));

  const [dockerHost = "", image = ""] = (process.env["STIGMER_TEST_DOCKER"] ?? "").split(" ");
  if (!image) throw new Error("STIGMER_TEST_DOCKER is not set: pnpm test:system starts a Docker engine and names it.");
  const runnerEnv = {
    ...shared,
    HOME: folder,
    // As in deploy/compose.yaml: runners of one machine find each other's workspaces.
    STIGMER_HOME: join(folder, "runners"),
    STIGMER_BACKEND_ENDPOINT: balancer.endpoint,
    STIGMER_API_KEY: keys.runner,
    STIGMER_CHECKPOINT_URL: postgres.urlOf("checkpoints"),
    STIGMER_RUNNER_HEALTH_PORT: "0",
    TEMPORAL_MAX_CONCURRENCY: String(options.concurrency ?? 10),
    SANDBOX_TYPE: "docker",
    SANDBOX_DOCKER_IMAGE: image,
    SANDBOX_DOCKER_PULL: "never",
    DOCKER_HOST: dockerHost,
    ANTHROPIC_API_KEY: "scripted-model-key",
    ANTHROPIC_BASE_URL: model.url,
  };
  const runners = metricsPorts.runners.map((port, index) =>
    createPart({
      name: `runner-${index + 1}`,
      command: [...node, RUNNER],
      cwd: folder,
      env: { ...runnerEnv, STIGMER_METRICS_PORT: String(port) },
      ready: /Worker ready, polling for tasks/,
    }),
  );
  await Promise.all(runners.map(up));

  const done = stack.move();
  const clients: StigmerClient[] = [];
  return {
    endpoint: balancer.endpoint,
    endpoints: ports.map((port) => `127.0.0.1:${port}`),
    parts: { servers, runners, postgres: postgres.part, redis: redis.part, temporal: temporal.part },
    model,
    databaseUrl,
    checkpointUrl: postgres.urlOf("checkpoints"),
    emptyDatabases: () => postgres.emptyDatabases("stigmer", "checkpoints"),
    serverEnv,
    postgresPrograms: postgres.programs,
    folder,
    temporalAddress: temporal.address,
    redis: { port: redis.port, password: redis.password },
    dockerHost,
    metricsUrls: {
      servers: metricsPorts.servers.map(metricsUrl),
      runners: metricsPorts.runners.map(metricsUrl),
    },
    runOneMoreRunner: (...nodeOptions) => {
      const env = { ...runnerEnv, PATH: process.env["PATH"] };
      const how = { cwd: folder, env, extendEnv: false, stdin: "ignore", reject: false, all: true } as const;
      return execa(process.execPath, [...nodeOptions, "--conditions=@stigmer/source", RUNNER], {
        ...how,
        timeout: 180_000,
      });
    },
    client: (org, endpoint = balancer.endpoint) => {
      const client = createClient({ endpoint, apiKey: keys.members.get(org) ?? "", org });
      clients.push(client);
      return client;
    },
    stopWork: async () => {
      await Promise.all(runners.map((part) => part.stop()));
      await Promise.all(servers.map((part) => part.stop()));
    },
    keepLogs: async () => {
      const kept = await mkdtemp(join(tmpdir(), "stigmer-cloud-logs-"));
      for (const part of [...servers, ...runners, postgres.part, redis.part, temporal.part])
        await writeFile(join(kept, `${part.name}.log`), part.printed());
      return kept;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      await Promise.all(runners.map((part) => part.stop()));
      await done.disposeAsync();
    },
  };
}

const metricsUrl = (port: number): string => `http://127.0.0.1:${port}/metrics`;

/** Everything that may die. */
export function partsOf({ parts }: Installation): Part[] {
  return [...parts.servers, ...parts.runners, parts.postgres, parts.redis, parts.temporal];
}

interface Keys {
  readonly members: ReadonlyMap<string, string>;
  readonly runner: string;
}

/** The first keys, by somebody who has the database. */
async function makeKeys(options: {
  readonly orgs: readonly string[];
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}): Promise<Keys> {
  const { orgs, command, env, cwd } = options;
  const [program = "", ...args] = command;
  const make = async (...of: string[]): Promise<string> => {
    const own = { cwd, env: { ...env }, extendEnv: false, stdin: "ignore" } as const;
    return (await execa(program, [...args, "server", "create-key", ...of], own)).stdout.trim();
  };
  const members = new Map<string, string>();
  for (const org of orgs) members.set(org, await make("--org", org, "--role", "owner"));
  return { members, runner: await make("--role", "runner", "--expires", "never") };
}
