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

/** The same, where no sandbox is meant: which backend, and how it is reached. */
export type SandboxBackendConfig = WithoutPlace<SandboxConfig>;

type WithoutPlace<Config> = Config extends unknown ? Omit<Config, "rootDir" | "id"> : never;

type Drivers = {
  readonly [Type in SandboxConfig["type"]]: () => Promise<Driver<Extract<SandboxConfig, { type: Type }>>>;
};

interface Driver<Config> {
  create(config: Config): Promise<Sandbox>;
  check(config: WithoutPlace<Config>): Promise<void>;
  remove(config: WithoutPlace<Config>, id: string): Promise<void>;
  removeOf(config: WithoutPlace<Config>, owner: string): Promise<void>;
}

const drivers: Drivers = {
  // A shell is everywhere, and nothing is held but the caller's own directory.
  filesystem: async () => ({
    create: (await import("./filesystem/index.ts")).createFilesystemSandbox,
    check: (await import("./filesystem/index.ts")).checkFilesystemBackend,
    remove: async () => {},
    removeOf: async () => {},
  }),
  isolated: async () => ({
    create: (await import("./isolated/index.ts")).createIsolatedSandbox,
    check: (await import("./isolated/index.ts")).checkIsolatedBackend,
    remove: async () => {},
    removeOf: async () => {},
  }),
  docker: async () => ({
    create: (await import("./docker/index.ts")).createDockerSandbox,
    check: (await import("./docker/index.ts")).checkDockerBackend,
    remove: (await import("./docker/index.ts")).removeDockerSandbox,
    removeOf: (await import("./docker/index.ts")).removeDockerSandboxesOf,
  }),
  daytona: async () => ({
    create: (await import("./daytona/index.ts")).createDaytonaSandbox,
    check: (await import("./daytona/index.ts")).checkDaytonaBackend,
    remove: (await import("./daytona/index.ts")).removeDaytonaSandbox,
    removeOf: (await import("./daytona/index.ts")).removeDaytonaSandboxesOf,
  }),
};

/** Makes a sandbox. Throws `SandboxError` `unknown-backend` for a type it doesn't know, else what the driver throws. */
export async function createSandbox(config: SandboxConfig): Promise<Sandbox> {
  return (await driverOf(config)).create(config);
}

/**
 * Looks whether the backend can make sandboxes, and makes none: whether its engine, its programs or its service are there,
 * take the credentials, and can keep the network policy and the limits. Throws `SandboxError` `unknown-backend`,
 * `backend-unavailable`, `permission`, `unsupported` and `invalid-argument`, each with what to do.
 */
export async function checkSandboxBackend(config: SandboxBackendConfig): Promise<void> {
  await (await driverOf(config)).check(config);
}

/**
 * Deletes what the backend holds for the sandbox of this id, without opening it: a container, a remote disk. No error when
 * there is none. Never deletes a directory of this machine. Throws as `checkSandboxBackend` does.
 */
export async function removeSandbox(config: SandboxBackendConfig, id: string): Promise<void> {
  await (await driverOf(config)).remove(config, id);
}

/**
 * Deletes what the backend holds for all sandboxes that were made for this owner, also for one whose id is lost, since its maker
 * ended before it could store it. Else as `removeSandbox`.
 */
export async function removeSandboxesOf(config: SandboxBackendConfig, owner: string): Promise<void> {
  if (owner === "") throw new SandboxError("invalid-argument", "Expected the name of an owner, got none.");
  await (await driverOf(config)).removeOf(config, owner);
}

function driverOf({ type }: SandboxBackendConfig): Promise<Driver<SandboxBackendConfig>> {
  if (!Object.hasOwn(drivers, type)) {
    const known = Object.keys(drivers).join(", ");
    throw new SandboxError(
      "unknown-backend",
      `There is no sandbox backend ${JSON.stringify(type)}. Known backends: ${known}.`,
    );
  }
  return drivers[type]() as Promise<Driver<never>> as Promise<Driver<SandboxBackendConfig>>;
}
