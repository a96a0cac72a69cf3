import { expect, test } from "vitest";
import { describeConfig } from "./describe-config.ts";
import { loadConfig } from "./read-config.ts";
import { secretNames } from "./variables.ts";

const lines = (env: Record<string, string>): string[] =>
  describeConfig(loadConfig(env, { home: "/h", readLocalKey: () => "canary" }));

test("local mode", () => {
  expect(lines({ MODE: "local" })).toEqual([
    "Mode:       local",
    "Task queue: agent_execution_runner",
    "Engine:     embedded",
    "Backend:    localhost:50051 (gRPC to the daemon)",
    "Sandbox:    filesystem, root /h/.stigmer/workspaces/<session id>",
    "On request: isolated, docker",
    "Redis:      skipped in local mode",
  ]);
  expect(lines({ MODE: "local", STIGMER_RUNNER_HEALTH_PORT: "0" }).at(-1)).toBe(
    "Health:     /healthz and /readyz on any free port of this machine",
  );
  expect(lines({ MODE: "local", SANDBOX_TYPE: "docker" })[4]).toBe(
    "Sandbox:    docker, image node:24-bookworm, root /h/.stigmer/workspaces/<session id>",
  );
  expect(lines({ MODE: "local", SANDBOX_TYPE: "isolated", SANDBOX_NETWORK: "a.org,b.org" })[4]).toBe(
    "Sandbox:    isolated, root /h/.stigmer/workspaces/<session id>, network a.org b.org",
  );
});

test("cloud mode, where no secret shows", () => {
  const secrets = Object.fromEntries(secretNames.map((name) => [name, "canary"]));
  const env = {
    ...secrets,
    STIGMER_CHECKPOINT_URL: "postgres://u:canary@db/c",
    STIGMER_DATABASE_URL: "postgres://u:canary@db/d",
    STIGMER_ENCRYPTION_KEY: "",
    STIGMER_BACKEND_ENDPOINT: "api.example.com:443",
    TEMPORAL_SERVICE_ADDRESS: "temporal:7233",
    TEMPORAL_NAMESPACE: "agents",
    REDIS_HOST: "redis",
  };
  expect(lines(env)).toEqual([
    "Mode:       cloud",
    "Task queue: agent_execution_runner",
    "Engine:     Temporal at temporal:7233, namespace agents, over TLS",
    "Backend:    api.example.com:443 (TLS)",
    "Sandbox:    daytona",
    "Redis:      redis:6379",
    "Health:     /healthz and /readyz on port 8080",
  ]);
  expect(lines({ ...env, STIGMER_RUNNER_HEALTH_PORT: "9000" })[6]).toContain("port 9000");
  expect(lines({ ...env, DAYTONA_DEV_TOOLS_SNAPSHOT_ID: "snap" })[4]).toBe("Sandbox:    daytona, snapshot snap");
});
