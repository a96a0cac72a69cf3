import { join } from "node:path";
import type { NetworkPolicy } from "./formats.ts";
import type { Endpoint } from "./observability.ts";
import type { Config } from "./read-config.ts";
import type { RedisConfig } from "./redis.ts";
import type { SandboxConfig } from "./sandbox-config.ts";

/** The rows of a start banner, one per line and aligned. Never holds a secret. */
export function describeConfig(config: Config): string[] {
  const { engine, backend } = config;
  const rows: [string, string][] = [
    ["Mode", config.mode],
    ["Task queue", config.taskQueue],
    [
      "Engine",
      engine.type === "embedded"
        ? "embedded"
        : `Temporal at ${engine.address}, namespace ${engine.namespace}${engine.tls ? ", over TLS" : ""}`,
    ],
    [
      "Backend",
      config.isLocalMode
        ? `${backend.endpoint} (gRPC to the daemon)`
        : `${backend.endpoint}${backend.tls ? " (TLS)" : ""}`,
    ],
    ["Sandbox", describeSandbox(sandboxOf(config))],
    ...describeOthers(config),
    ["Redis", config.isLocalMode ? "skipped in local mode" : describeRedis(config.redis)],
    ...(config.health ? [["Health", describeHealth(config.health)] as [string, string]] : []),
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 1;
  return rows.map(([name, value]) => `${`${name}:`.padEnd(width)} ${value}`);
}

/** With the workspace of a session that names none. */
function sandboxOf(config: Config): SandboxConfig {
  if (!config.isLocalMode) return config.sandboxConfig();
  return config.sandboxConfig({ rootDir: join(config.homes.workspacesDir, "<session id>") });
}

/** What a session gets only when it asks for it. */
function describeOthers(config: Config): [string, string][] {
  const [, ...others] = config.sandboxConfigs().map(({ type }) => type);
  return others.length === 0 ? [] : [["On request", others.join(", ")]];
}

function describeRedis({ host, port, tls }: RedisConfig): string {
  return `${host}:${port}${tls ? " (TLS)" : ""}`;
}

function describeHealth({ host, port }: Endpoint): string {
  const at = port === 0 ? "any free port" : `port ${port}`;
  return `/healthz and /readyz on ${at}${host === "127.0.0.1" ? " of this machine" : ""}`;
}

function describeSandbox(sandbox: SandboxConfig): string {
  switch (sandbox.type) {
    case "filesystem":
      return `filesystem, root ${sandbox.rootDir}`;
    case "isolated":
      return `isolated, root ${sandbox.rootDir}${describeNetwork(sandbox.network)}`;
    case "docker": {
      const root = sandbox.rootDir === undefined ? "" : `, root ${sandbox.rootDir}`;
      return `docker, image ${sandbox.image}${root}${describeNetwork(sandbox.network)}`;
    }
    case "daytona": {
      const snapshot = sandbox.snapshotId === undefined ? "" : `, snapshot ${sandbox.snapshotId}`;
      return `daytona${snapshot}${describeNetwork(sandbox.network)}`;
    }
  }
}

function describeNetwork(network: NetworkPolicy | undefined): string {
  if (network === undefined) return "";
  return `, network ${network.type === "allow-list" ? network.domains.join(" ") : network.type}`;
}
