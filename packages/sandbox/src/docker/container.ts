// The container of a sandbox: how it is made, found again, and what becomes of one that nobody comes back to.
import { SandboxError } from "../errors.ts";
import type { NetworkPolicy, SandboxLimits } from "../sandbox.ts";
import type { PullPolicy } from "./create.ts";
import { EngineFault, isMissing, type Engine } from "./engine.ts";
import { readScript } from "./scripts.ts";

/** On every container that is ours. */
const ownLabel = "ai.stigmer.sandbox";
/** What a sandbox was made with, to be kept when it is opened again. */
const madeWithLabel = "ai.stigmer.sandbox.made-with";
/** Who alone may open it again. */
const ownerLabel = "ai.stigmer.sandbox.owner";

export const workspace = "/workspace";
const pullTimeoutMs = 30 * 60_000;
/** What the limit on processes doesn't count: the two that keep the container, and the engine's own while it starts a command. */
const ownProcesses = 16;

export interface MadeWith {
  readonly image: string;
  readonly rootDir: string;
  readonly user: string;
  readonly network: NetworkPolicy["type"];
  readonly limits: SandboxLimits;
  readonly cpus?: number;
  readonly tmpBytes: number;
}

export interface ContainerOptions {
  readonly madeWith: MadeWith;
  readonly owner?: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Makes it, and leaves it to be started. Answers its id. */
export async function createContainer(engine: Engine, options: ContainerOptions): Promise<string> {
  const body = containerConfig(options);
  const { Id } = (await engine.call("POST", "/containers/create", { body })) as { Id: string };
  return Id;
}

/** What the engine is asked for. @internal */
export function containerConfig({ madeWith, owner, labels }: ContainerOptions): ContainerConfig {
  const { limits } = madeWith;
  return {
    Image: madeWith.image,
    Entrypoint: ["/bin/sh", "-c", readScript],
    Cmd: [],
    User: "0:0",
    WorkingDir: "/",
    OpenStdin: true,
    // When the way to it breaks, its input ends, and with that the container.
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    Healthcheck: { Test: ["NONE"] },
    Labels: {
      ...labels,
      [ownLabel]: "1",
      [madeWithLabel]: JSON.stringify(madeWith),
      ...(owner !== undefined && { [ownerLabel]: owner }),
    },
    HostConfig: {
      NetworkMode: madeWith.network === "full" ? "bridge" : "none",
      // Ends what is left without a parent.
      Init: true,
      ReadonlyRootfs: true,
      CapDrop: ["ALL"],
      // For the main process alone, which is root; commands are not, and have none.
      CapAdd: ["KILL"],
      SecurityOpt: ["no-new-privileges"],
      IpcMode: "private",
      LogConfig: { Type: "none", Config: {} },
      Mounts: [{ Type: "bind", Source: madeWith.rootDir, Target: workspace }],
      Tmpfs: { "/tmp": `rw,exec,nosuid,nodev,mode=1777,size=${madeWith.tmpBytes}` },
      ...(limits.memoryBytes !== undefined && { Memory: limits.memoryBytes, MemorySwap: limits.memoryBytes }),
      ...(limits.processes !== undefined && { PidsLimit: limits.processes + ownProcesses }),
      ...(madeWith.cpus !== undefined && { NanoCpus: Math.round(madeWith.cpus * 1e9) }),
    },
  };
}

type ContainerConfig = Readonly<Record<string, unknown>> & {
  readonly HostConfig: Readonly<Record<string, unknown>>;
};

/** What the sandbox of this id was made with. Throws `sandbox-gone`, also for one of another owner than the one named. */
export async function findContainer(engine: Engine, id: string, owner: string | undefined): Promise<MadeWith> {
  const gone = (cause?: unknown): SandboxError =>
    new SandboxError("sandbox-gone", `There is no container of a sandbox with the id ${id}. Make a new one.`, {
      cause,
    });
  try {
    const { Config } = (await engine.call("GET", `/containers/${encodeURIComponent(id)}/json`)) as Inspected;
    const madeWith = Config.Labels?.[madeWithLabel];
    if (madeWith === undefined || (owner !== undefined && Config.Labels?.[ownerLabel] !== owner)) throw gone();
    return JSON.parse(madeWith) as MadeWith;
  } catch (error) {
    throw isMissing(error) ? gone(error) : error;
  }
}

/** The ids of all containers of an owner, whether they run or not. */
export async function containersOf(
  engine: Engine,
  { owner, labels }: { readonly owner: string; readonly labels: Readonly<Record<string, string>> },
): Promise<string[]> {
  return (await listContainers(engine, { label: labelled({ ...labels, [ownerLabel]: owner }) })).map(({ Id }) => Id);
}

const labelled = (labels: Readonly<Record<string, string>>): string[] => [
  ownLabel,
  ...Object.entries(labels).map(([name, value]) => `${name}=${value}`),
];

async function listContainers(
  engine: Engine,
  filters: { readonly label: readonly string[]; readonly status?: readonly string[] },
): Promise<readonly { readonly Id: string }[]> {
  const query = encodeURIComponent(JSON.stringify(filters));
  return (await engine.call("GET", `/containers/json?all=1&filters=${query}`)) as readonly { readonly Id: string }[];
}

/** Whether it runs, can be started, or is no more. */
export async function containerState(engine: Engine, id: string): Promise<"running" | "stopped" | "gone"> {
  try {
    const { State } = (await engine.call("GET", `/containers/${id}/json`)) as Inspected;
    if (State.Status === "removing" || State.Status === "dead") return "gone";
    return State.Running ? "running" : "stopped";
  } catch (error) {
    if (isMissing(error)) return "gone";
    throw error;
  }
}

interface Inspected {
  readonly Config: { readonly Labels?: Readonly<Record<string, string>> };
  readonly State: { readonly Running: boolean; readonly Status: string; readonly FinishedAt: string };
  readonly Created: string;
}

/** Throws `backend-unavailable` when the image is not to be had. */
export async function provideImage(engine: Engine, image: string, pull: PullPolicy): Promise<void> {
  if (pull !== "always") {
    try {
      await engine.call("GET", `/images/${image}/json`);
      return;
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    if (pull === "never") {
      throw new SandboxError(
        "backend-unavailable",
        `The image ${image} is not on this machine, and is never to be pulled: docker pull ${image}`,
      );
    }
  }
  const [, name = image, tag] = /^(.*?)(?::([^:/@]+))?$/.exec(image) ?? [];
  const query = new URLSearchParams({ fromImage: name, ...(!image.includes("@") && { tag: tag ?? "latest" }) });
  const failed = (words: string, cause?: unknown): SandboxError =>
    new SandboxError("backend-unavailable", `The image ${image} can't be pulled: ${words}`, { cause });
  let progress: unknown;
  try {
    progress = await engine.call("POST", `/images/create?${query}`, { timeoutMs: pullTimeoutMs });
  } catch (error) {
    throw error instanceof EngineFault ? failed(error.message, error) : error;
  }
  // It says that it went well before it begins: what went wrong stands in what follows.
  const text = typeof progress === "string" ? progress : JSON.stringify(progress ?? "");
  const wrong = /"error":\s*("(?:[^"\\]|\\.)*")/.exec(text)?.[1];
  if (wrong !== undefined) throw failed(JSON.parse(wrong) as string);
}

export async function removeContainer(engine: Engine, id: string): Promise<void> {
  await engine.call("DELETE", `/containers/${id}?force=1&v=1`).catch(ignoring(404, 409));
}

/** Ends all that runs in it at once. */
export async function killContainer(engine: Engine, id: string): Promise<void> {
  await engine.call("POST", `/containers/${id}/kill`).catch(ignoring(404, 409));
}

/**
 * Removes what nobody came back to: containers of sandboxes with these labels that have not run for so long. One that runs
 * is held by a living process, since it ends with the process that holds it. Directories of the host stay as they are.
 */
export async function removeOrphans(engine: Engine, { labels, olderThanMs }: OrphanOptions): Promise<void> {
  const found = await listContainers(engine, { label: labelled(labels), status: ["created", "exited", "dead"] });
  for (const { Id } of found) {
    try {
      const { State, Created } = (await engine.call("GET", `/containers/${Id}/json`)) as Inspected;
      // One that never ran ended in the year 1.
      const last = Math.max(Date.parse(State.FinishedAt), Date.parse(Created));
      if (State.Running || Date.now() - last < olderThanMs) continue;
      // Without force: whoever opens it at this very moment keeps it.
      await engine.call("DELETE", `/containers/${Id}?v=1`);
    } catch (error) {
      // Somebody else removed it, or runs it.
      if (!(error instanceof EngineFault)) throw error;
    }
  }
}

interface OrphanOptions {
  readonly labels: Readonly<Record<string, string>>;
  readonly olderThanMs: number;
}

const ignoring =
  (...statuses: readonly number[]) =>
  (error: unknown): void => {
    if (!(error instanceof EngineFault && statuses.includes(error.status))) throw error;
  };
