import { chown, mkdtemp, rm } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ScriptedModel, startScriptedModel } from "@stigmer/scripted-model";
import { Client } from "pg";
import { startTemporal } from "../temporal.ts";
import { until } from "../stigmer.ts";
import { environmentOf, readCompose, runArguments, type Service } from "./compose.ts";
import type { Engine } from "./engine.ts";
import { openPassages, type Passages } from "./passages.ts";

/** What deploy/compose.yaml describes, with Postgres, Redis and Temporal of this machine under the names that it gives them. */
export interface Deployment extends AsyncDisposable {
  readonly services: Readonly<Record<"server" | "runner", Service>>;
  readonly passages: Passages;
  /** What is in its environment, and must not be told. */
  readonly secrets: readonly string[];
  /** Starts a service's container and waits until its image's health check says that it is healthy. */
  start(name: "server" | "runner", options?: StartOptions): Promise<string>;
  /** Runs `stigmer ARGS…` once in a container of the server's. */
  runOnce(args: readonly string[]): Promise<string>;
}

export interface StartOptions {
  /** Besides, and in place of, the service's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** More arguments of `docker run`. */
  readonly args?: readonly string[];
  readonly container?: string;
}

export const SERVER_PORT = 50_051;
export const TLS_PORT = 50_443;
/** Who the images run as. */
const USER = 10_001;
const HEALTHY_SECONDS = 120;
const DATABASES = ["stigmer", "checkpoints"];

export async function deploy(
  engine: Engine,
  scenario: Parameters<typeof startScriptedModel>[0]["scenario"],
): Promise<Deployment> {
  await using stack = new AsyncDisposableStack();
  const postgres = new URL(needed("STIGMER_TEST_POSTGRES_URL"));
  const redis = new URL(needed("STIGMER_TEST_REDIS_URL"));
  const model: ScriptedModel = stack.use(await startScriptedModel({ scenario }));
  const temporal = await startTemporal();
  stack.defer(() => temporal.dispose());
  await inDatabase(
    postgres,
    DATABASES.map((name) => `CREATE DATABASE ${name}`),
  );
  stack.defer(() =>
    inDatabase(
      postgres,
      DATABASES.map((name) => `DROP DATABASE ${name} WITH (FORCE)`),
    ),
  );
  const modelUrl = new URL(model.url);
  const passages = stack.use(
    await openPassages(engine, {
      inward: { 5432: postgres.host, 6379: redis.host, 7233: temporal.address, [modelUrl.port]: modelUrl.host },
      outward: [SERVER_PORT, TLS_PORT],
    }),
  );
  const home = await mkdtemp(join(tmpdir(), "stigmer-runner-home-"));
  await chown(home, USER, USER);
  stack.defer(() => rm(home, { recursive: true, force: true }));

  const variables = {
    POSTGRES_PASSWORD: postgres.password,
    REDIS_PASSWORD: redis.password,
    STIGMER_ENCRYPTION_KEY: randomBytes(32).toString("base64"),
    ANTHROPIC_API_KEY: `model-key-${crypto.randomUUID()}`,
    // The engine's socket is root's, with root's group.
    DOCKER_GROUP: "0",
    STIGMER_RUNNER_HOME: home,
    SANDBOX_DOCKER_IMAGE: engine.image,
  };
  const services = (await readCompose(variables)) as Deployment["services"];
  const network = [
    "--network=host",
    ...["postgres", "redis", "temporal", "server"].map((n) => `--add-host=${n}:127.0.0.1`),
  ];
  const argumentsOf = (name: "server" | "runner"): string[] => [
    ...network,
    ...runArguments(services[name], { paths: { "/var/run/docker.sock": engine.host.replace("unix://", "") } }),
  ];

  const containers: string[] = [];
  stack.defer(() => engine.remove(...containers));
  const done = stack.move();
  return {
    services,
    passages,
    secrets: [
      variables.POSTGRES_PASSWORD,
      variables.REDIS_PASSWORD,
      variables.STIGMER_ENCRYPTION_KEY,
      variables.ANTHROPIC_API_KEY,
    ],
    start: async (name, { env = {}, args = [], container = `stigmer-test-${name}` } = {}) => {
      containers.push(container);
      const all = {
        ...environmentOf(services[name]),
        ...(name === "runner" && { ANTHROPIC_BASE_URL: model.url, SANDBOX_DOCKER_PULL: "never" }),
        ...env,
      };
      const names = Object.keys(all).filter((each) => !(each in services[name].environment));
      const more = names.flatMap((each) => ["--env", each]);
      await engine.docker(
        ["run", "--detach", `--name=${container}`, ...argumentsOf(name), ...more, ...args, services[name].image],
        { env: all },
      );
      await healthy(engine, container);
      return container;
    },
    runOnce: (args) =>
      engine.docker(["run", "--rm", ...argumentsOf("server"), services.server.image, ...args], {
        env: environmentOf(services.server),
      }),
    [Symbol.asyncDispose]: () => done.disposeAsync(),
  };
}

async function healthy(engine: Engine, container: string): Promise<void> {
  const state = (): Promise<string> =>
    engine.docker(["inspect", "--format={{.State.Status}} {{.State.Health.Status}}", container]);
  try {
    await until(async () => {
      const now = await state();
      if (/exited|unhealthy/.test(now)) throw new Error(`${container} is ${now}`);
      return now.trim() === "running healthy";
    }, HEALTHY_SECONDS);
  } catch (error) {
    const checks = await engine.docker(["inspect", "--format={{json .State.Health}}", container]);
    const logs = await engine.docker(["logs", "--tail=30", container]);
    throw new Error(`${container} does not turn healthy: ${checks}\n${logs}`, { cause: error });
  }
}

function needed(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set. Run this suite with: pnpm test:system`);
  return value;
}

async function inDatabase(url: URL, statements: readonly string[]): Promise<void> {
  const client = new Client({ connectionString: url.href });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}
