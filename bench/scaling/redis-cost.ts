// What one run of two tool calls asks of Redis in cloud mode: a server and a runner with Temporal, a scripted model, and somebody who
// watches each run.
import { randomBytes } from "node:crypto";
import { createClient } from "@stigmer/client";
import { AgentSchema } from "@stigmer/protos/agent/v1";
import { create } from "@bufbuild/protobuf";
import { createApiKey } from "@stigmer/server";
import { Redis } from "ioredis";
import { openModel, openPlatform } from "../recovery/processes.ts";
import type { Figure } from "../report.ts";
import { createDatabases } from "./databases.ts";
import { scenario } from "./run-cost.ts";

const WARM_UP = 5;
const RUNS = 20;

/** Needs a Redis, a Docker engine and Temporal's program beside Postgres, named as for the system suites. Nobody else may use that Redis. */
export async function redisCost(): Promise<readonly Figure[]> {
  const url = new URL(needed("STIGMER_TEST_REDIS_URL"));
  const [dockerHost = "", image = ""] = needed("STIGMER_TEST_DOCKER").split(" ");
  await using databases = await createDatabases();
  await using model = await openModel(scenario);
  const cloud = {
    MODE: "cloud",
    TEMPORAL_NAMESPACE: "default",
    REDIS_HOST: url.hostname,
    REDIS_PORT: url.port,
    REDIS_PASSWORD: decodeURIComponent(url.password),
  };
  const store = { type: "postgres", url: databases.store.url } as const;
  const runnerEnv: Record<string, string> = {
    ...cloud,
    STIGMER_CHECKPOINT_URL: databases.checkpoints.url,
    SANDBOX_TYPE: "docker",
    SANDBOX_DOCKER_IMAGE: image,
    SANDBOX_DOCKER_PULL: "never",
    DOCKER_HOST: dockerHost,
  };
  await using platform = await openPlatform({
    modelUrl: model.url,
    temporal: needed("STIGMER_TEST_TEMPORAL"),
    serverEnv: {
      ...cloud,
      STIGMER_DATABASE_URL: store.url,
      STIGMER_LISTEN_HOST: "127.0.0.1",
      STIGMER_ENCRYPTION_KEY: randomBytes(32).toString("base64"),
    },
    runnerEnv,
  });
  await platform.temporal();
  await platform.server();
  const place = { store, dataDir: platform.home };
  const { key: apiKey } = await createApiKey({ ...place, role: "owner", org: "bench" });
  runnerEnv["STIGMER_API_KEY"] = (await createApiKey({ ...place, role: "runner" })).key;
  await platform.runner();
  using client = createClient({ endpoint: platform.endpoint, apiKey, org: "bench" });
  const spec = { instructions: "Do what the person asks." };
  const header = { apiVersion: "agentic.stigmer.ai/v1", kind: "Agent", metadata: { name: "bench" } };
  await client.agents.apply(create(AgentSchema, { ...header, spec }));
  const run = async (): Promise<number> => {
    const { phase, status } = await client.executions.run({ agent: "bench", message: "Write two files." }).result();
    if (phase !== "completed") throw new Error(`A run ended ${phase}: ${status.error}`);
    return status.revision;
  };
  const redis = new Redis(url.href);
  try {
    for (let count = 0; count < WARM_UP; count++) await run();
    const before = await look(redis);
    let changes = 0;
    for (let count = 0; count < RUNS; count++) changes += await run();
    const after = await look(redis);
    const per = (name: string, unit: string, total: number): Figure => {
      const samples = [total / RUNS];
      return { name: `${name}, for each run of two tool calls`, unit, samples, baseline: { name: "itself", samples } };
    };
    return [
      per("changes that the server stored", "changes", changes),
      per("messages that were published to Redis", "messages", after.published - before.published),
      ...[...after.commands].flatMap(([name, count]) => {
        const made = count - (before.commands.get(name) ?? 0);
        return made / RUNS < 0.5 ? [] : [per(`commands to Redis: ${name}`, "commands", made)];
      }),
      per("bytes that Redis was sent", "B", after.bytesIn - before.bytesIn),
      per("bytes that Redis sent", "B", after.bytesOut - before.bytesOut),
    ];
  } finally {
    redis.disconnect();
  }
}

interface RedisWork {
  readonly published: number;
  /** All others, by name. */
  readonly commands: ReadonlyMap<string, number>;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

async function look(redis: Redis): Promise<RedisWork> {
  const text = await redis.info("everything");
  const calls = new Map(
    [...text.matchAll(/^cmdstat_(?<name>[^:]+):calls=(?<calls>\d+)/gm)].map(({ groups }) => [
      groups?.["name"] ?? "",
      Number(groups?.["calls"]),
    ]),
  );
  const published = calls.get("publish") ?? 0;
  // Of this benchmark itself.
  for (const name of ["publish", "info"]) calls.delete(name);
  const numberOf = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(text)?.[1]);
  return {
    published,
    commands: calls,
    bytesIn: numberOf("total_net_input_bytes"),
    bytesOut: numberOf("total_net_output_bytes"),
  };
}

function needed(variable: string): string {
  const value = process.env[variable];
  if (!value) throw new Error(`Set ${variable}, as for the system suites.`);
  return value;
}
