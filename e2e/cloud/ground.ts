// What servers and runners stand on in cloud mode, up and running, and none of them: a test starts what it needs.
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repository, start, type Started } from "../stigmer.ts";
import { createPart, type Part } from "./part.ts";
import { createPostgres, createRedis, createTemporal } from "./services.ts";

type Env = Readonly<Record<string, string>>;

export interface Ground extends AsyncDisposable {
  readonly folder: string;
  readonly parts: { readonly postgres: Part; readonly redis: Part; readonly temporal: Part };
  readonly redis: { readonly port: number; readonly password: string };
  readonly temporalAddress: string;
  urlOf(database: string): string;
  createDatabase(name: string): Promise<string>;
  /** Of a server of the database `servers`, with a key of its own. */
  readonly serverEnv: Env;
  /** Of a runner with the sandboxes of Docker. */
  runnerEnv(server: { readonly endpoint: string; readonly apiKey: string }): Env;
  /** `stigmer …` as a person of this machine runs it. */
  stigmer(args: readonly string[], env: Env, stdin?: string): Started;
  /** The program `stigmer-agent-runner`. */
  runner(env: Env): Started;
  /** A server that goes on until it is stopped, and its address. */
  startServer(env?: Env, ...args: readonly string[]): Promise<{ readonly part: Part; readonly endpoint: string }>;
  /** Writes a key into the database, as the first ones are made. */
  createKey(...args: readonly string[]): Promise<string>;
}

const CLI = join(repository, "apps/cli/src/main.ts");
const RUNNER = join(repository, "apps/agent-runner/src/main.ts");
const NODE = [process.execPath, "--conditions=@stigmer/source"] as const;

export async function openGround(): Promise<Ground> {
  const folder = await mkdtemp(join(tmpdir(), "stigmer-cloud-ground-"));
  await chmod(folder, 0o755);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  const [postgres, redis, temporal] = await Promise.all([
    createPostgres(folder),
    createRedis(folder),
    createTemporal(folder),
  ]);
  const up = async (part: Part): Promise<void> => {
    stack.defer(async () => void (await part.stop()));
    await part.start();
  };
  await Promise.all([postgres.part, redis.part, temporal.part].map(up));
  await postgres.createDatabases("servers", "checkpoints");

  const shared: Env = {
    MODE: "cloud",
    TEMPORAL_SERVICE_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: "default",
    REDIS_HOST: "127.0.0.1",
    REDIS_PORT: String(redis.port),
    REDIS_PASSWORD: redis.password,
  };
  const serverEnv: Env = {
    ...shared,
    STIGMER_HOME: join(folder, "server"),
    STIGMER_LISTEN_HOST: "127.0.0.1",
    STIGMER_DATABASE_URL: postgres.urlOf("servers"),
    STIGMER_ENCRYPTION_KEY: randomBytes(32).toString("base64"),
    STIGMER_DRAIN_SECONDS: "0",
  };
  const stigmer = (args: readonly string[], env: Env, stdin?: string): Started =>
    start(args, { env, stdin, cwd: folder });
  const done = stack.move();
  let count = 0;
  return {
    folder,
    parts: { postgres: postgres.part, redis: redis.part, temporal: temporal.part },
    redis: { port: redis.port, password: redis.password },
    temporalAddress: temporal.address,
    urlOf: postgres.urlOf,
    createDatabase: async (name) => {
      await postgres.createDatabases(name);
      return postgres.urlOf(name);
    },
    serverEnv,
    runnerEnv: ({ endpoint, apiKey }) => {
      const [dockerHost = "", image = ""] = (process.env["STIGMER_TEST_DOCKER"] ?? "").split(" ");
      return {
        ...shared,
        HOME: folder,
        STIGMER_HOME: join(folder, "runners"),
        STIGMER_BACKEND_ENDPOINT: endpoint,
        STIGMER_API_KEY: apiKey,
        STIGMER_CHECKPOINT_URL: postgres.urlOf("checkpoints"),
        STIGMER_RUNNER_HEALTH_PORT: "0",
        SANDBOX_TYPE: "docker",
        SANDBOX_DOCKER_IMAGE: image,
        SANDBOX_DOCKER_PULL: "never",
        DOCKER_HOST: dockerHost,
      };
    },
    stigmer,
    runner: (env) => start([], { env, cwd: folder, program: [...NODE, RUNNER] }),
    startServer: async (env = {}, ...args) => {
      const part = createPart({
        name: `server-${++count}`,
        command: [...NODE, CLI, "server", "run", "--port", "0", ...args],
        cwd: folder,
        env: { ...serverEnv, ...env },
        ready: /stigmer-server is ready on/,
      });
      done.defer(async () => void (await part.stop()));
      await part.start();
      const endpoint = /stigmer-server is ready on (?<endpoint>\S+)/.exec(part.printed())?.groups?.["endpoint"] ?? "";
      return { part, endpoint };
    },
    createKey: async (...args) => {
      const { exitCode, stdout, stderr } = await stigmer(["server", "create-key", ...args], serverEnv).result;
      if (exitCode !== 0) throw new Error(stderr);
      return stdout.trim();
    },
    [Symbol.asyncDispose]: () => done.disposeAsync(),
  };
}
