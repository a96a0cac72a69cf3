import type { NetworkPolicy } from "./formats.ts";
import type { Values } from "./read-variables.ts";

export interface DockerSandboxConfig {
  readonly type: "docker";
  readonly image: string;
  readonly pull: "missing" | "never" | "always";
  /** `unix:///…`. Absent: the backend's own default. */
  readonly host?: string;
  /** Absent: the backend's own default. */
  readonly network?: NetworkPolicy;
  /** The workspace on the host, in local mode. */
  readonly rootDir?: string;
}

export interface DaytonaSandboxConfig {
  readonly type: "daytona";
  /** Absent: Daytona's default image. */
  readonly snapshotId?: string;
  /** Absent: the backend's own default. */
  readonly network?: NetworkPolicy;
}

export type LocalSandboxConfig =
  | { readonly type: "filesystem"; readonly rootDir: string }
  | { readonly type: "isolated"; readonly rootDir: string; readonly network?: NetworkPolicy }
  | (DockerSandboxConfig & { readonly rootDir: string });

export type CloudSandboxConfig = DockerSandboxConfig | DaytonaSandboxConfig;

/** Which sandbox to make. Holds no secret: Daytona's key is in `CloudConfig.daytona`. */
export type SandboxConfig = LocalSandboxConfig | CloudSandboxConfig;

/** How Daytona's API is reached. */
export interface DaytonaAccess {
  readonly apiKey: string;
  /** Absent: the SDK's own default. */
  readonly apiUrl?: string;
  /** The region. Absent: the organisation's own. */
  readonly target?: string;
}

/** How long the sandbox of a session is kept. */
export interface SandboxKeeping {
  /** Without use, and nothing running in it, before it is stopped. */
  readonly idleMinutes: number;
  /** Before it is removed. Absent: it is kept as long as its session. */
  readonly ttlMinutes?: number;
}

export function sandboxKeeping(values: Values<"local", "runner"> | Values<"cloud", "runner">): SandboxKeeping {
  const { SANDBOX_IDLE_MINUTES: idleMinutes, SANDBOX_TTL_MINUTES: ttlMinutes } = values;
  return { idleMinutes, ...(ttlMinutes !== undefined && { ttlMinutes }) };
}

/** The runner's own first, then what else sessions may ask for. */
export function localSandboxes(
  values: Values<"local", "runner">,
  rootDir: string,
): [LocalSandboxConfig, ...LocalSandboxConfig[]] {
  // What was asked for is kept by whatever a session asks for.
  const others =
    values.SANDBOX_TYPES ?? localTypes.filter((type) => keepsNetwork(type, values.SANDBOX_NETWORK?.type ?? "full"));
  return ownFirst(values.SANDBOX_TYPE, others, (type) => localSandbox(type, values, rootDir));
}

const localTypes = ["filesystem", "isolated", "docker"] as const;

/** Whether commands in such a sandbox reach over the network what the policy says, and nothing else. */
export function keepsNetwork(sandbox: string, policy: NetworkPolicy["type"]): boolean {
  if (policy === "full") return true;
  if (sandbox === "filesystem") return false;
  return sandbox !== "docker" || policy === "off";
}

function ownFirst<Type extends string, Sandbox>(
  own: Type,
  others: readonly Type[],
  make: (type: Type) => Sandbox,
): [Sandbox, ...Sandbox[]] {
  return [make(own), ...[...new Set(others)].filter((type) => type !== own).map(make)];
}

function localSandbox(
  type: LocalSandboxConfig["type"],
  values: Values<"local", "runner">,
  rootDir: string,
): LocalSandboxConfig {
  const network = values.SANDBOX_NETWORK;
  switch (type) {
    case "filesystem":
      return { type: "filesystem", rootDir };
    case "isolated":
      return { type: "isolated", rootDir, ...(network && { network }) };
    case "docker":
      return { ...dockerSandbox(values), rootDir };
  }
}

/** A service that has a key of Daytona's uses it; any other has an engine of its own. */
export function cloudSandboxType<T extends string>(
  chosen: T | undefined,
  daytonaKey: string | undefined,
): T | "daytona" | "docker" {
  return chosen ?? (daytonaKey === undefined ? "docker" : "daytona");
}

/** As `localSandboxes`. Nobody but who operates the service says that there are others. */
export function cloudSandboxes(values: Values<"cloud", "runner">): [CloudSandboxConfig, ...CloudSandboxConfig[]] {
  const own = cloudSandboxType(values.SANDBOX_TYPE, values.DAYTONA_API_KEY);
  return ownFirst(own, values.SANDBOX_TYPES ?? [], (type) => cloudSandbox(type, values));
}

function cloudSandbox(type: CloudSandboxConfig["type"], values: Values<"cloud", "runner">): CloudSandboxConfig {
  if (type === "docker") return dockerSandbox(values);
  const snapshotId = values.DAYTONA_DEV_TOOLS_SNAPSHOT_ID;
  const network = values.SANDBOX_NETWORK;
  return { type: "daytona", ...(snapshotId && { snapshotId }), ...(network && { network }) };
}

function dockerSandbox(
  values: Pick<
    Values<"cloud", "runner">,
    "SANDBOX_DOCKER_IMAGE" | "SANDBOX_DOCKER_PULL" | "DOCKER_HOST" | "SANDBOX_NETWORK"
  >,
): DockerSandboxConfig {
  const {
    SANDBOX_DOCKER_IMAGE: image,
    SANDBOX_DOCKER_PULL: pull,
    DOCKER_HOST: host,
    SANDBOX_NETWORK: network,
  } = values;
  return { type: "docker", image, pull, ...(host && { host }), ...(network && { network }) };
}
