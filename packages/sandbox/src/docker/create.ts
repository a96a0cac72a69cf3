// The docker driver: commands run in a container of their own, files live in a directory of this machine that it shows.
import { chown, lstat, mkdir, realpath, rename, rmdir } from "node:fs/promises";
import { resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { assertSupported } from "../capabilities.ts";
import { SandboxError } from "../errors.ts";
import { checkEnvironment } from "../execute-options.ts";
import { toFileError } from "../host-files/file-error.ts";
import { createFiles } from "../host-files/files.ts";
import { findDirectory } from "../host-files/find-directory.ts";
import type { CommonSandboxOptions, Sandbox } from "../sandbox.ts";
import { dockerCapabilities } from "./capabilities.ts";
import { createCommands } from "./commands.ts";
import {
  containersOf,
  createContainer,
  findContainer,
  killContainer,
  provideImage,
  removeContainer,
  removeOrphans,
  workspace,
  type MadeWith,
} from "./container.ts";
import { createEngine, type Engine } from "./engine.ts";
import { createHold } from "./hold.ts";
import { createMarks } from "./scripts.ts";

/** When an image is fetched from its registry: when the engine doesn't have it, not at all, or each time. */
export type PullPolicy = "missing" | "never" | "always";

export interface DockerSandboxOptions extends CommonSandboxOptions {
  /**
   * The workspace on this machine, which commands see as /workspace. Made when it is missing, and never deleted. The engine
   * must run on this machine.
   */
  readonly rootDir: string;
  /** What commands find beside it. Needs /bin/sh, env and grep. Default `debian:stable-slim`. */
  readonly image?: string;
  /** Default `"missing"`. */
  readonly pull?: PullPolicy;
  /** The engine's socket. Default `unix:///var/run/docker.sock`. */
  readonly host?: string;
  /**
   * Who commands run as, `uid:gid` in numbers. Default: this process's user; where that is root, the owner of `rootDir`, or
   * 1000:1000 for one that is made.
   */
  readonly user?: string;
  /** Processors that all commands together may use, for example 1.5. Default: all. */
  readonly cpus?: number;
  /** Size of /tmp, which is in memory, in bytes. Default 1 GiB. */
  readonly tmpBytes?: number;
  /** Labels of the container, beside our own. */
  readonly labels?: Readonly<Record<string, string>>;
  /** The shell that commands are given to with `-c`. Default `/bin/sh`. */
  readonly shell?: string;
  /**
   * Containers of sandboxes that nobody has used for so many milliseconds are removed when this process makes its first
   * sandbox, whoever made them: those that carry all of `labels`. Default 7 days; `Infinity` keeps them.
   */
  readonly orphanAfterMs?: number;
}

const defaultImage = "debian:stable-slim";
const defaultHost = "unix:///var/run/docker.sock";
const defaultUser = 1000;
const defaultTmpBytes = 1024 ** 3;
const defaultOrphanAfterMs = 7 * 24 * 3_600_000;

/** Throws `SandboxError` `backend-unavailable`, with what to do, `sandbox-gone`, `unsupported` and `invalid-argument`. */
export async function createDockerSandbox(options: DockerSandboxOptions): Promise<Sandbox> {
  if (typeof options.rootDir !== "string" || options.rootDir === "") {
    throw invalid("Expected rootDir to be the path of a directory, got none.");
  }
  checkOptions(options);
  const env = checkEnvironment(options.env ?? {}, "env");
  const shell = options.shell ?? "/bin/sh";
  const engine = createEngine(socketOf(options.host ?? defaultHost));
  // Whether there is one, before anything is made.
  await engine.call("GET", "/_ping");
  await removeOrphansOnce(engine, options);

  const prepared = await prepareRoot(options);
  const { container, madeWith } = await (options.id === undefined
    ? make(engine, options, prepared)
    : reopen(engine, options, { id: options.id, location: prepared.location }));
  const location = madeWith.rootDir;

  const marks = createMarks();
  const roots: [string, ...string[]] = [workspace];
  const hold = createHold({
    engine,
    container,
    keeping: { living: () => commands.living(), range: marks.range },
    takesOver: options.owner !== undefined,
  });
  const commands = createCommands({
    env,
    locate: (cwd) => findDirectory(cwd, { location, roots }),
    nextMark: marks.next,
    container: {
      engine,
      container,
      user: madeWith.user,
      shell,
      publicEnv: {
        HOME: "/tmp",
        TMPDIR: "/tmp",
        USER: "sandbox",
        LOGNAME: "sandbox",
        SHELL: shell,
        LANG: "C.UTF-8",
        PYTHONUNBUFFERED: "1",
      },
      cpuSeconds: madeWith.limits.cpuSeconds,
      limitsMemory: madeWith.limits.memoryBytes !== undefined,
      keeper: hold.keeper,
      current: hold.current,
      endAll: () => killContainer(engine, container),
    },
  });
  try {
    await hold.keeper();
  } catch (error) {
    await hold.end();
    if (options.id === undefined) await removeContainer(engine, container);
    throw error;
  }

  const end = async (): Promise<void> => {
    const killed = hold.end();
    await commands.end(killed);
    await killed;
  };
  let ended: Promise<void> | undefined;
  const [uid, gid] = madeWith.user.split(":").map(Number) as [number, number];
  return {
    id: idOf(container),
    backend: "docker",
    capabilities: dockerCapabilities,
    root: workspace,
    files: createFiles({ location, roots, assertUsable: commands.assertUsable, owner: { uid, gid } }),
    execute: commands.execute,
    spawn: commands.spawn,
    processes: commands.processes,
    process: commands.process,
    async dispose({ remove = false } = {}) {
      ended ??= end();
      await ended;
      if (remove && !(await hold.isTaken())) await removeContainer(engine, container);
    },
  };
}

/** Throws as `createDockerSandbox` does for an engine that is not there, or an image that is never to be pulled. */
export async function checkDockerBackend(options: Omit<DockerSandboxOptions, "rootDir" | "id">): Promise<void> {
  checkOptions(options);
  const engine = createEngine(socketOf(options.host ?? defaultHost));
  await engine.call("GET", "/_ping");
  // Anything else can take its time.
  if (options.pull === "never") await provideImage(engine, options.image ?? defaultImage, "never");
}

/** Removes the container of this id, with what runs in it. What is none of a sandbox is left alone. */
export async function removeDockerSandbox(
  { host, owner }: Pick<DockerSandboxOptions, "host" | "owner">,
  id: string,
): Promise<void> {
  const container = containerOf(id);
  if (container === undefined) return;
  const engine = createEngine(socketOf(host ?? defaultHost));
  try {
    await findContainer(engine, container, owner);
  } catch (error) {
    if (SandboxError.is(error) && error.code === "sandbox-gone") return;
    throw error;
  }
  await removeContainer(engine, container);
}

/** Removes all containers of this owner, made by whomever with these labels, with what runs in them. */
export async function removeDockerSandboxesOf(
  { host, labels = {} }: Pick<DockerSandboxOptions, "host" | "labels">,
  owner: string,
): Promise<void> {
  const engine = createEngine(socketOf(host ?? defaultHost));
  for (const container of await containersOf(engine, { owner, labels })) await removeContainer(engine, container);
}

const idOf = (container: string): string => `docker:${container}`;
const containerOf = (id: string): string | undefined => /^docker:([0-9a-f]{64})$/.exec(id)?.[1];

const invalid = (message: string): SandboxError => new SandboxError("invalid-argument", message);

function checkOptions(options: Omit<DockerSandboxOptions, "rootDir">): void {
  assertSupported(options, dockerCapabilities, "docker");
  const { user, cpus, tmpBytes, pull, image } = options;
  if (user !== undefined && !/^\d+:\d+$/.test(user)) throw invalid(`Expected user as uid:gid in numbers, got ${user}.`);
  if (cpus !== undefined && !(Number.isFinite(cpus) && cpus > 0)) throw invalid(`Expected cpus above 0, got ${cpus}.`);
  if (tmpBytes !== undefined && !(Number.isSafeInteger(tmpBytes) && tmpBytes > 0)) {
    throw invalid(`Expected tmpBytes to be a whole number above 0, got ${tmpBytes}.`);
  }
  if (pull !== undefined && !["missing", "never", "always"].includes(pull)) {
    throw invalid(`Expected pull to be "missing", "never" or "always", got ${JSON.stringify(pull)}.`);
  }
  if (image !== undefined && !/^[\w][\w./:@-]*$/.test(image)) {
    throw invalid(`Expected the name of an image, got ${JSON.stringify(image)}.`);
  }
}

/** The path of the socket. Throws `unsupported` for an engine that is not on this machine. */
function socketOf(host: string): string {
  if (host.startsWith("unix:///")) return host.slice("unix://".length);
  throw new SandboxError(
    "unsupported",
    `The docker backend reaches an engine of this machine by its socket, unix:///…, not ${JSON.stringify(host)}.`,
  );
}

interface Root {
  readonly location: string;
  readonly user: string;
}

async function prepareRoot({ rootDir, user }: DockerSandboxOptions): Promise<Root> {
  const path = resolve(rootDir);
  try {
    const self = process.geteuid?.() ?? defaultUser;
    if (self !== 0) {
      await mkdir(path, { recursive: true });
      return { location: await realpath(path), user: user ?? `${self}:${process.getegid?.() ?? self}` };
    }
    if (!(await exists(path))) await makeOnce(user ?? `${defaultUser}:${defaultUser}`, path);
    const location = await realpath(path);
    const owner = await lstat(location);
    if (user === undefined && owner.uid === 0) throw belongsToRoot(location);
    return { location, user: user ?? `${owner.uid}:${owner.gid}` };
  } catch (error) {
    throw toFileError(error, path);
  }
}

const making = new Map<string, Promise<void>>();

/** A second folder of the name would take the place of the first, which a container may have already, as long as that is empty. */
function makeOnce(user: string, path: string): Promise<void> {
  const made = making.get(path) ?? makeFor(user, path).finally(() => making.delete(path));
  making.set(path, made);
  return made;
}

/** The folder has its name when it has its owner: one that dies between the two leaves nothing that the next takes for root's. */
async function makeFor(user: string, path: string): Promise<void> {
  const [uid, gid] = user.split(":").map(Number) as [number, number];
  const unnamed = `${path}.new`;
  try {
    await mkdir(unnamed, { recursive: true });
    await chown(unnamed, uid, gid);
    await rename(unnamed, path);
  } catch (error) {
    // Another process was at it, too, and was faster: also while this one looked what is in its way.
    if (!(await exists(path))) throw error;
    await rmdir(unnamed).catch(() => {});
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}

function belongsToRoot(path: string): SandboxError {
  return new SandboxError(
    "permission",
    `${JSON.stringify(path)} belongs to root, and commands don't run as root: give it to another user, or say which user.`,
    { path },
  );
}

interface Made {
  readonly container: string;
  readonly madeWith: MadeWith;
}

async function make(engine: Engine, options: DockerSandboxOptions, { location, user }: Root): Promise<Made> {
  const image = options.image ?? defaultImage;
  await provideImage(engine, image, options.pull ?? "missing");
  const madeWith: MadeWith = {
    image,
    rootDir: location,
    user,
    network: options.network?.type ?? "off",
    limits: options.limits ?? {},
    ...(options.cpus !== undefined && { cpus: options.cpus }),
    tmpBytes: options.tmpBytes ?? defaultTmpBytes,
  };
  try {
    return {
      container: await createContainer(engine, { madeWith, owner: options.owner, labels: options.labels ?? {} }),
      madeWith,
    };
  } catch (cause) {
    if (SandboxError.is(cause)) throw cause;
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new SandboxError("backend-error", `The engine makes no container: ${words}`, { cause });
  }
}

/** Its container is as it was made: what is asked for now must be what was asked for then. */
async function reopen(
  engine: Engine,
  options: DockerSandboxOptions,
  { id, location }: { readonly id: string; readonly location: string },
): Promise<Made> {
  const container = containerOf(id);
  if (container === undefined) throw new SandboxError("sandbox-gone", `${id} names no sandbox of this backend.`);
  const madeWith = await findContainer(engine, container, options.owner);
  // Its owner's files are where they were, whatever directory this process would have given it.
  const isThere = options.owner === undefined ? madeWith.rootDir === location : await isDirectory(madeWith.rootDir);
  if (!isThere) {
    throw new SandboxError("sandbox-gone", `There is no sandbox ${id} in ${location}. Make a new one.`);
  }
  const asked: Partial<MadeWith> = {
    ...(options.network && { network: options.network.type }),
    ...(options.limits && { limits: options.limits }),
    ...(options.cpus !== undefined && { cpus: options.cpus }),
    ...(options.user !== undefined && { user: options.user }),
    ...(options.image !== undefined && { image: options.image }),
    ...(options.tmpBytes !== undefined && { tmpBytes: options.tmpBytes }),
  };
  for (const [name, value] of Object.entries(asked)) {
    const then = madeWith[name as keyof MadeWith];
    if (isDeepStrictEqual(JSON.parse(JSON.stringify(value)), then)) continue;
    throw new SandboxError(
      "invalid-argument",
      `The sandbox ${id} was made with ${name} ${JSON.stringify(then)}, which can't become ${JSON.stringify(value)}. Make a new one.`,
    );
  }
  return { container, madeWith };
}

async function isDirectory(path: string): Promise<boolean> {
  return lstat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
}

const cleaned = new Map<string, Promise<void>>();

/** Once for each engine and set of labels. One that can't be cleaned up can still be used. */
function removeOrphansOnce(engine: Engine, options: DockerSandboxOptions): Promise<void> {
  const { labels = {}, orphanAfterMs: olderThanMs = defaultOrphanAfterMs } = options;
  if (olderThanMs === Infinity) return Promise.resolve();
  const key = JSON.stringify([options.host ?? defaultHost, labels, olderThanMs]);
  let done = cleaned.get(key);
  if (done === undefined) {
    done = removeOrphans(engine, { labels, olderThanMs }).catch(() => {});
    cleaned.set(key, done);
  }
  return done;
}
