import type { NetworkPolicy } from "./formats.ts";
import type { Values } from "./read-variables.ts";

export interface DockerSandboxConfig {
  readonly type: "docker";
  readonly image: string;
  /** In Docker's own notation. Absent: Docker's own default. */
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
}

export function localSandbox(values: Values<"local", "runner">, rootDir: string): LocalSandboxConfig {
  const network = values.SANDBOX_NETWORK;
  switch (values.SANDBOX_TYPE) {
    case "filesystem":
      return { type: "filesystem", rootDir };
    case "isolated":
      return { type: "isolated", rootDir, ...(network && { network }) };
    case "docker":
      return { ...dockerSandbox(values), rootDir };
  }
}

export function cloudSandbox(values: Values<"cloud", "runner">): CloudSandboxConfig {
  if (values.SANDBOX_TYPE === "docker") return dockerSandbox(values);
  const snapshotId = values.DAYTONA_DEV_TOOLS_SNAPSHOT_ID;
  return { type: "daytona", ...(snapshotId && { snapshotId }) };
}

function dockerSandbox(
  values: Pick<Values<"cloud", "runner">, "SANDBOX_DOCKER_IMAGE" | "DOCKER_HOST" | "SANDBOX_NETWORK">,
): DockerSandboxConfig {
  const { SANDBOX_DOCKER_IMAGE: image, DOCKER_HOST: host, SANDBOX_NETWORK: network } = values;
  return { type: "docker", image, ...(host && { host }), ...(network && { network }) };
}
