// A whole installation in cloud mode on one machine: what people deploy, each part a process that can be killed.
import { execa } from "execa";
import { createHash, randomBytes } from "node:crypto";
import { chmod, chown, glob, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient, type StigmerClient } from "@stigmer/client";
import { type ScriptedModel, startScriptedModel } from "@stigmer/scripted-model";
import { startServer } from "@stigmer/server";
import { ApiKeySchema } from "@stigmer/protos/apikey/v1";
import { Role } from "@stigmer/protos/iam/v1";
import { Client } from "pg";
import { repository } from "../stigmer.ts";
import { startBalancer } from "./balancer.ts";
import { createPart, type Part } from "./part.ts";

const CLI = join(repository, "apps/cli/src/main.ts");
const RUNNER = join(repository, "apps/agent-runner/src/main.ts");
const FIRST_START_MS = 240_000;
/** Debian's `nobody`: Postgres refuses to be root. */
const NOBODY = 65_534;

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
  readonly folder: string;
  /** A client of an organisation's member, of whichever server it comes to; of one server with its endpoint. */
  client(org: string, endpoint?: string): StigmerClient;
  /** Ends runners and servers in order, and leaves the rest up to be looked into. */
  stopWork(): Promise<void>;
}

export interface InstallationOptions {
  readonly scenario: Parameters<typeof startScriptedModel>[0]["scenario"];
  readonly orgs: readonly string[];
  readonly servers?: number;
  readonly runners?: number;
  /** How many runs a runner works on at a time. */
  readonly concurrency?: number;
}

export async function startInstallation(options: InstallationOptions): Promise<Installation> {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-cloud-"));
  await chmod(folder, 0o755);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  const up = async (part: Part): Promise<Part> => {
    stack.defer(() => part.stop());
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
  const keys = await makeKeys({ orgs: options.orgs, databaseUrl, encryptionKey, home: join(folder, "keys") });
  const shared = {
    MODE: "cloud",
    NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
    TEMPORAL_SERVICE_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: "default",
    REDIS_HOST: "127.0.0.1",
    REDIS_PORT: String(redis.port),
    REDIS_PASSWORD: redis.password,
    LOG_LEVEL: "INFO",
  };
  const node = [process.execPath, "--conditions=@stigmer/source"] as const;
  const ports = await Promise.all(Array.from({ length: options.servers ?? 2 }, findPort));
  const servers = ports.map((port, index) =>
    createPart({
      name: `server-${index + 1}`,
      command: [...node, CLI, "server", "run", "--port", String(port)],
      cwd: folder,
      env: {
        ...shared,
        STIGMER_HOME: join(folder, `server-${index + 1}`),
        STIGMER_DATABASE_URL: databaseUrl,
        STIGMER_ENCRYPTION_KEY: encryptionKey.toString("base64"),
      },
      ready: /stigmer-server is ready on/,
    }),
  );
  await Promise.all(servers.map(up));
  const balancer = stack.use(await startBalancer(ports));

  const [dockerHost = "", image = ""] = (process.env["STIGMER_TEST_DOCKER"] ?? "").split(" ");
  if (!image) throw new Error("STIGMER_TEST_DOCKER is not set: pnpm test:system starts a Docker engine and names it.");
  const runners = Array.from({ length: options.runners ?? 3 }, (_, index) =>
    createPart({
      name: `runner-${index + 1}`,
      command: [...node, RUNNER],
      cwd: folder,
      env: {
        ...shared,
        HOME: folder,
        STIGMER_HOME: join(folder, `runner-${index + 1}`),
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
      },
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
    folder,
    client: (org, endpoint = balancer.endpoint) => {
      const client = createClient({ endpoint, apiKey: keys.members.get(org) ?? "", org });
      clients.push(client);
      return client;
    },
    stopWork: async () => {
      await Promise.all(runners.map((part) => part.stop()));
      await Promise.all(servers.map((part) => part.stop()));
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      await Promise.all(runners.map((part) => part.stop()));
      await done.disposeAsync();
    },
  };
}

interface Keys {
  readonly members: ReadonlyMap<string, string>;
  readonly runner: string;
}

/** The first keys, by somebody who has the database. */
async function makeKeys(options: {
  readonly orgs: readonly string[];
  readonly databaseUrl: string;
  readonly encryptionKey: Uint8Array;
  readonly home: string;
}): Promise<Keys> {
  const { orgs, databaseUrl: url, encryptionKey, home } = options;
  const server = await startServer({ home, port: 0, encryptionKey, store: { type: "postgres", url } });
  using client = createClient({ endpoint: server.endpoint, apiKey: server.apiKey });
  const make = async (org: string, role: Role): Promise<string> =>
    (await client.apiKeys.create({ metadata: { name: `${org}-${role}`, org }, spec: { role } })).key;
  const members = new Map<string, string>();
  for (const org of orgs) members.set(org, await make(org, Role.OWNER));
  const runner = await make(orgs[0] ?? "", Role.MEMBER);
  // Whom the API lets nobody make: who has the database may.
  await turnIntoRunner(url, runner);
  await server.close();
  return { members, runner };
}

async function turnIntoRunner(url: string, key: string): Promise<void> {
  const database = new Client({ connectionString: url });
  await database.connect();
  try {
    const text = "SELECT id, body FROM resources WHERE kind = 'ApiKey'";
    const { rows } = await database.query<{ id: string; body: Buffer }>(text);
    const hash = createHash("sha256").update(key).digest("hex");
    for (const { id, body } of rows) {
      const stored = fromBinary(ApiKeySchema, body);
      if (stored.spec?.keyHash !== hash) continue;
      stored.spec.role = Role.RUNNER;
      await database.query("UPDATE resources SET body = $2 WHERE kind = 'ApiKey' AND id = $1", [
        id,
        Buffer.from(toBinary(ApiKeySchema, stored)),
      ]);
      return;
    }
    throw new Error("The key is not in the database.");
  } finally {
    await database.end();
  }
}

async function createPostgres(folder: string): Promise<{
  part: Part;
  urlOf(database: string): string;
  createDatabases(...names: string[]): Promise<void>;
}> {
  const found = await Array.fromAsync(glob("/usr/lib/postgresql/*/bin/initdb"));
  const programs = dirname(found.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1) ?? "");
  if (programs === ".") throw new Error("Postgres is not installed: pnpm test:system does it.");
  const home = join(folder, "postgres");
  await mkdir(home);
  const isRoot = process.getuid?.() === 0;
  if (isRoot) await chown(home, NOBODY, NOBODY);
  const asOther = isRoot ? ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"] : ["env"];
  const password = randomBytes(16).toString("hex");
  const passwordFile = join(home, "password");
  await writeFile(passwordFile, `${password}\n`);
  const [first = "env", ...before] = asOther;
  const run = (...command: string[]): Promise<unknown> => execa(first, [...before, ...command], { cwd: home });
  const data = join(home, "data");
  const how = ["--username=stigmer", `--pwfile=${passwordFile}`, "--auth=scram-sha-256", "--encoding=UTF8"];
  await run(join(programs, "initdb"), `--pgdata=${data}`, ...how, "--locale=C.UTF-8", "--no-sync");
  await rm(passwordFile);
  const port = await findPort();
  const settings = [`port=${port}`, "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"];
  // What a killed server has written stays without it; only a power cut could take it.
  const flags = [...settings, "fsync=off"].flatMap((setting) => ["-c", setting]);
  const urlOf = (database: string): string => `postgres://stigmer:${password}@127.0.0.1:${port}/${database}`;
  return {
    part: createPart({
      name: "postgres",
      command: [first, ...before, join(programs, "postgres"), "-D", data, ...flags],
      cwd: home,
      ready: /database system is ready to accept connections/,
      stopSignal: "SIGINT",
    }),
    urlOf,
    createDatabases: async (...names) => {
      for (const name of names) await run(join(programs, "psql"), urlOf("postgres"), "-c", `CREATE DATABASE ${name}`);
    },
  };
}

async function createRedis(folder: string): Promise<{ part: Part; port: number; password: string }> {
  const port = await findPort();
  const password = randomBytes(16).toString("hex");
  const stdin = [`bind 127.0.0.1`, `port ${port}`, `requirepass ${password}`, 'save ""', ""].join("\n");
  const ready = /Ready to accept connections/;
  const part = createPart({ name: "redis", command: ["redis-server", "-"], cwd: folder, stdin, ready });
  return { part, port, password };
}

async function createTemporal(folder: string): Promise<{ part: Part; address: string }> {
  const program = process.env["STIGMER_TEST_TEMPORAL"];
  if (!program) throw new Error("STIGMER_TEST_TEMPORAL is not set: it names the Temporal CLI that this test starts.");
  const port = await findPort();
  const where = ["--headless", "--ip", "127.0.0.1", "--port", String(port), "--log-level", "never"];
  const pragmas = ["journal_mode=WAL", "synchronous=OFF"].flatMap((pragma) => ["--sqlite-pragma", pragma]);
  const part = createPart({
    name: "temporal",
    command: [program, "server", "start-dev", ...where, ...pragmas, "--db-filename", join(folder, "temporal.db")],
    cwd: folder,
    env: { HOME: folder },
    ready: /^(Temporal )?Server:/m,
  });
  return { part, address: `127.0.0.1:${port}` };
}

async function findPort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise<void>((resolve) => probe.close(() => resolve()));
  return port;
}
