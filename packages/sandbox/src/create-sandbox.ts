// The one place that names drivers. Each is loaded when it is asked for.
import type { DaytonaSandboxOptions } from "./daytona/index.ts";
import type { DockerSandboxOptions } from "./docker/index.ts";
import { SandboxError } from "./errors.ts";
import type { FilesystemSandboxOptions } from "./filesystem/index.ts";
import type { IsolatedSandboxOptions } from "./isolated/index.ts";
import type { Sandbox } from "./sandbox.ts";

/** Which backend, and its options. */
export type SandboxConfig =
  | ({ readonly type: "filesystem" } & FilesystemSandboxOptions)
  | ({ readonly type: "isolated" } & IsolatedSandboxOptions)
  | ({ readonly type: "docker" } & DockerSandboxOptions)
  | ({ readonly type: "daytona" } & DaytonaSandboxOptions);

type Drivers = {
  readonly [Type in SandboxConfig["type"]]: (config: Extract<SandboxConfig, { type: Type }>) => Promise<Sandbox>;
};

const drivers: Drivers = {
  filesystem: async (config) => (await import("./filesystem/index.ts")).createFilesystemSandbox(config),
  isolated: async (config) => (await import("./isolated/index.ts")).createIsolatedSandbox(config),
  docker: async (config) => (await import("./docker/index.ts")).createDockerSandbox(config),
  daytona: async (config) => (await import("./daytona/index.ts")).createDaytonaSandbox(config),
};

/** Makes a sandbox. Throws `SandboxError` `unknown-backend` for a type it doesn't know, else what the driver throws. */
export async function createSandbox(config: SandboxConfig): Promise<Sandbox> {
  if (!Object.hasOwn(drivers, config.type)) {
    const known = Object.keys(drivers).join(", ");
    throw new SandboxError(
      "unknown-backend",
      `There is no sandbox backend ${JSON.stringify(config.type)}. Known backends: ${known}.`,
    );
  }
  const driver = drivers[config.type] as (config: SandboxConfig) => Promise<Sandbox>;
  return driver(config);
}
