import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { repository } from "../stigmer.ts";

export interface Service {
  readonly image: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly healthcheck: { readonly test: readonly string[]; readonly interval: string; readonly timeout: string };
  readonly stop_grace_period: string;
  readonly read_only: boolean;
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly tmpfs: readonly string[];
  readonly ulimits: Readonly<Record<string, number>>;
  readonly volumes: readonly string[];
  readonly group_add?: readonly string[];
  readonly deploy: { readonly resources: { readonly limits: { readonly cpus: string; readonly memory: string } } };
}

type Variables = Readonly<Record<string, string>>;

/** The services of deploy/compose.yaml with the variables of a deploy/.env put in, as Compose does it. */
export async function readCompose(variables: Variables): Promise<Readonly<Record<string, Service>>> {
  const text = await readFile(join(repository, "deploy/compose.yaml"), "utf8");
  const { services } = parse(text, { merge: true }) as { services: Record<string, unknown> };
  return interpolate(services, variables) as Record<string, Service>;
}

function interpolate(value: unknown, variables: Variables): unknown {
  if (typeof value === "string") return put(value, variables);
  if (Array.isArray(value)) return value.map((item) => interpolate(item, variables));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, interpolate(item, variables)]));
}

function put(text: string, variables: Variables): string {
  return text.replaceAll(/\$(?:\$|\{(\w+)(?::(-|\?)([^}]*))?\})/g, (...found: (string | undefined)[]) => {
    const [, name, kind, rest = ""] = found;
    if (name === undefined) return "$";
    const value = variables[name];
    if (!value && kind === "?") throw new Error(`${name} is not set: ${rest}`);
    return value || rest;
  });
}

export interface RunOptions {
  /** Paths of this machine in place of those in the file. */
  readonly paths?: Readonly<Record<string, string>>;
}

/** The arguments of `docker run` that give a container what its service has; its environment is given by name alone. */
export function runArguments(service: Service, { paths = {} }: RunOptions = {}): string[] {
  const { limits } = service.deploy.resources;
  return [
    ...(service.read_only ? ["--read-only"] : []),
    ...service.cap_drop.map((name) => `--cap-drop=${name}`),
    ...service.security_opt.map((option) => `--security-opt=${option}`),
    ...service.tmpfs.map((mount) => `--tmpfs=${mount}`),
    ...Object.entries(service.ulimits).map(([name, limit]) => `--ulimit=${name}=${limit}`),
    ...service.volumes.map((volume) => {
      const [source = "", ...target] = volume.split(":");
      return `--volume=${[paths[source] ?? source, ...target].join(":")}`;
    }),
    ...(service.group_add ?? []).map((group) => `--group-add=${group}`),
    `--cpus=${limits.cpus}`,
    `--memory=${limits.memory}`,
    `--stop-timeout=${Number.parseInt(service.stop_grace_period, 10)}`,
    ...Object.keys(service.environment).flatMap((name) => ["--env", name]),
  ];
}

/** The environment as `docker` itself gets it, to hand on. */
export function environmentOf(service: Service): Record<string, string> {
  return Object.fromEntries(Object.entries(service.environment).map(([name, value]) => [name, String(value)]));
}
