// The daytona driver: commands run and files live in a sandbox of Daytona, reached by its SDK.
import { randomUUID } from "node:crypto";
import type { CreateSandboxFromSnapshotParams, Sandbox as DaytonaSandbox } from "@daytonaio/sdk";
import { assertSupported } from "../capabilities.ts";
import { SandboxError } from "../errors.ts";
import { checkEnvironment } from "../execute-options.ts";
import { quote } from "../isolated/quote.ts";
import type { CommonSandboxOptions, NetworkPolicy, Sandbox } from "../sandbox.ts";
import { daytonaCapabilities } from "./capabilities.ts";
import { connect, type DaytonaClient } from "./client.ts";
import { createCommands } from "./commands.ts";
import { toCallFailure, toSandboxError } from "./daytona-error.ts";
import { toScriptError } from "./file-error.ts";
import { createDaytonaFiles } from "./files.ts";
import { createMachine, stateOf, wake, type Machine } from "./machine.ts";

export interface DaytonaSandboxOptions extends CommonSandboxOptions {
  /** Default: `DAYTONA_API_KEY` of the environment, as the SDK reads it. */
  readonly apiKey?: string;
  /** Default: `DAYTONA_API_URL` of the environment, else Daytona's own. */
  readonly apiUrl?: string;
  /** The region. Default: `DAYTONA_TARGET`, else the organisation's. */
  readonly target?: string;
  /** The snapshot that a new sandbox starts from. Default: Daytona's. Needs GNU's coreutils, findutils and grep. */
  readonly snapshot?: string;
  /** Put on a new sandbox, to find it by. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Minutes without use after which a new sandbox stops; the next use starts it again. 0: never. Default: Daytona's. */
  readonly autoStopMinutes?: number;
  /** Minutes after which a new sandbox that has stopped is deleted. 0: at once, -1: never. Default: Daytona's. */
  readonly autoDeleteMinutes?: number;
  /** The directory that is the root, absolute. Made when it is missing. Default `/workspace`. */
  readonly rootDir?: string;
  /** The shell that commands are given to with `-c`. Default `/bin/sh`. */
  readonly shell?: string;
  /** Whether `dispose` leaves a sandbox that it made running, for its own timer to stop. Default false. */
  readonly keepRunning?: boolean;
  /** Milliseconds until a sandbox must have started. Default 120,000. */
  readonly startTimeoutMs?: number;
  /** Milliseconds until a request must be answered. Default 30,000. */
  readonly requestTimeoutMs?: number;
  /** Milliseconds before a request that failed is repeated; twice as long before each further repetition. Default 200. */
  readonly retryDelayMs?: number;
  /** Milliseconds after a time-out or an abort within which the result comes, though Daytona is silent. Default 5000. */
  readonly giveUpMs?: number;
}

const defaultRoot = "/workspace";
const defaultStartMs = 120_000;
const defaultRequestMs = 30_000;
const defaultRetryDelayMs = 200;
const defaultGiveUpMs = 5000;
/** By this label one that was made although its answer was lost is found again. */
const creationLabel = "stigmer-creation";
/** Who alone may open it again. */
const ownerLabel = "stigmer-owner";

/**
 * Makes a sandbox, or opens the one of this id and starts it when it has stopped. One that it made stops with `dispose`
 * (unless `keepRunning`); one that was opened by its id goes on. Throws `SandboxError` `backend-unavailable`, also when a quota is used up, `permission`,
 * `sandbox-gone`, `unsupported` and `invalid-argument`.
 */
export async function createDaytonaSandbox(options: DaytonaSandboxOptions): Promise<Sandbox> {
  const { rootDir = defaultRoot, startTimeoutMs = defaultStartMs, requestTimeoutMs = defaultRequestMs } = options;
  assertSupported(options, daytonaCapabilities(), "daytona");
  if (!rootDir.startsWith("/") || rootDir === "/") {
    throw new SandboxError(
      "invalid-argument",
      `Expected rootDir to be an absolute path, got ${JSON.stringify(rootDir)}.`,
    );
  }
  const env = { PYTHONUNBUFFERED: "1", ...checkEnvironment(options.env ?? {}, "env") };
  const { apiKey, apiUrl, target, retryDelayMs = defaultRetryDelayMs } = options;
  const client = await connect({ apiKey, apiUrl, target, requestTimeoutMs, retryDelayMs });
  try {
    const { id } = options;
    const opening =
      id === undefined ? create(client, options, startTimeoutMs) : open(client, { ...options, id }, startTimeoutMs);
    const remote = await opening;
    try {
      return await attach(remote, client, { ...options, rootDir, startTimeoutMs, requestTimeoutMs, env });
    } catch (error) {
      if (id === undefined) await remove(remote, client, startTimeoutMs).catch(() => {});
      throw error;
    }
  } catch (error) {
    await client.close();
    throw error;
  }
}

/** Throws as `createDaytonaSandbox` does where Daytona is not reached, or doesn't take the key. */
export async function checkDaytonaBackend(options: Omit<DaytonaSandboxOptions, "rootDir" | "id">): Promise<void> {
  assertSupported(options, daytonaCapabilities(), "daytona");
  await withClient(options, async (client) => {
    const listing = async (): Promise<void> => {
      // The first of its pages says enough.
      for await (const _ of client.daytona.list({ limit: 1 })) return;
    };
    await client.call(listing, { what: "list sandboxes", idempotent: true });
  });
}

/** Deletes the sandbox of this id with all that is in it, whether it runs or not. */
export async function removeDaytonaSandbox(
  options: Omit<DaytonaSandboxOptions, "rootDir" | "id">,
  id: string,
): Promise<void> {
  if (!isId(id)) return;
  const startMs = options.startTimeoutMs ?? defaultStartMs;
  await withClient(options, async (client) => {
    const what = `delete the sandbox ${id}`;
    try {
      const remote = await client.call(() => client.daytona.get(id), { what, idempotent: true });
      if (isOf(remote, options.owner)) await remove(remote, client, startMs);
    } catch (error) {
      if (toSandboxError(error, what).code !== "sandbox-gone") throw error;
    }
  });
}

/** Deletes all sandboxes of this owner. */
export async function removeDaytonaSandboxesOf(
  options: Omit<DaytonaSandboxOptions, "rootDir" | "id">,
  owner: string,
): Promise<void> {
  const startMs = options.startTimeoutMs ?? defaultStartMs;
  await withClient(options, async (client) => {
    for (const remote of await listLabelled(client, { [ownerLabel]: owner })) await remove(remote, client, startMs);
  });
}

async function withClient<T>(
  { apiKey, apiUrl, target, ...options }: Omit<DaytonaSandboxOptions, "rootDir" | "id">,
  use: (client: DaytonaClient) => Promise<T>,
): Promise<T> {
  const { requestTimeoutMs = defaultRequestMs, retryDelayMs = defaultRetryDelayMs } = options;
  const client = await connect({ apiKey, apiUrl, target, requestTimeoutMs, retryDelayMs });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

/** A path or a query in its place would ask for something else. */
const isId = (id: string): boolean => /^[\w.-]+$/.test(id);

const isOf = ({ labels }: DaytonaSandbox, owner: string | undefined): boolean =>
  owner === undefined || labels?.[ownerLabel] === owner;

async function create(client: DaytonaClient, options: DaytonaSandboxOptions, startMs: number): Promise<DaytonaSandbox> {
  const {
    snapshot,
    labels,
    autoStopMinutes,
    autoDeleteMinutes,
    network,
    requestTimeoutMs: requestMs = defaultRequestMs,
  } = options;
  const creation = randomUUID();
  const params: CreateSandboxFromSnapshotParams = {
    labels: {
      ...labels,
      [creationLabel]: creation,
      ...(options.owner !== undefined && { [ownerLabel]: options.owner }),
    },
    ...(snapshot !== undefined && { snapshot }),
    ...(autoStopMinutes !== undefined && { autoStopInterval: autoStopMinutes }),
    ...(autoDeleteMinutes !== undefined && { autoDeleteInterval: autoDeleteMinutes }),
    ...(network && networkSettings(network)),
  };
  const making = (): Promise<DaytonaSandbox> =>
    client.daytona.create({ ...params }, { timeout: Math.ceil(startMs / 1000) });
  const what = "create a sandbox";
  try {
    const remote = await client.call(making, { what, idempotent: false, deadlineMs: startMs + requestMs });
    if (network) assertKept(network, remote);
    return remote;
  } catch (error) {
    const { status } = toCallFailure((error as Error).cause);
    // Whatever was refused does not exist. Anything else may, unknown to everyone and paid for.
    if (status === undefined || status >= 500) await removeMade(client, creation).catch(() => {});
    throw error;
  }
}

async function removeMade(client: DaytonaClient, creation: string): Promise<void> {
  const what = "remove a sandbox that did not start";
  for (const left of await listLabelled(client, { [creationLabel]: creation })) {
    await client.call(() => left.delete(), { what, idempotent: true });
  }
}

/** All pages before any of them is changed by what is done with it. */
async function listLabelled(client: DaytonaClient, labels: Record<string, string>): Promise<DaytonaSandbox[]> {
  const listing = (): Promise<DaytonaSandbox[]> => Array.fromAsync(client.daytona.list({ labels }));
  return client.call(listing, { what: "list sandboxes", idempotent: true });
}

async function open(
  client: DaytonaClient,
  { id, owner, network }: DaytonaSandboxOptions & { readonly id: string },
  startMs: number,
): Promise<DaytonaSandbox> {
  const what = `open the sandbox ${id}`;
  if (!isId(id)) throw new SandboxError("sandbox-gone", `There is no sandbox ${JSON.stringify(id)}. Create a new one.`);
  const remote = await client.call(() => client.daytona.get(id), { what, idempotent: true });
  if (!isOf(remote, owner)) throw new SandboxError("sandbox-gone", `There is no sandbox ${id}. Create a new one.`);
  if ((await stateOf(remote, client)) === "sleeps") await wake(remote, client, startMs);
  if (network) {
    const settings = { networkBlockAll: false, ...networkSettings(network) };
    await client.call(() => remote.updateNetworkSettings(settings), { what, idempotent: true });
    await client.call(() => remote.refreshData(), { what, idempotent: true });
    assertKept(network, remote);
  }
  return remote;
}

interface NetworkSettings {
  readonly networkBlockAll?: boolean;
  readonly domainAllowList?: string;
}

function networkSettings(network: NetworkPolicy): NetworkSettings {
  if (network.type === "full") return {};
  // An empty list would be none.
  if (network.type === "off" || network.domains.length === 0) return { networkBlockAll: true };
  return { domainAllowList: network.domains.join(",") };
}

/** An installation that doesn't know a setting passes it over. */
function assertKept(network: NetworkPolicy, remote: DaytonaSandbox): void {
  const { networkBlockAll = false, domainAllowList } = networkSettings(network);
  const kept =
    (remote.networkBlockAll ?? false) === networkBlockAll &&
    (domainAllowList === undefined || remote.domainAllowList === domainAllowList);
  if (kept) return;
  const words = `This installation of Daytona does not keep the network policy "${network.type}".`;
  throw new SandboxError("unsupported", `${words} Use another policy, or a newer Daytona.`);
}

async function attach(
  remote: DaytonaSandbox,
  client: DaytonaClient,
  options: DaytonaSandboxOptions & {
    readonly rootDir: string;
    readonly startTimeoutMs: number;
    readonly requestTimeoutMs: number;
    readonly env: Readonly<Record<string, string>>;
  },
): Promise<Sandbox> {
  const machine = createMachine(remote, client, options);
  const base = `/tmp/.sandbox-${randomUUID()}`;
  const root = await prepare(machine, options.rootDir, base);
  const roots = root === options.rootDir ? ([root] as const) : ([root, options.rootDir] as const);
  const commands = createCommands({
    machine,
    root,
    roots,
    base,
    shell: options.shell ?? "/bin/sh",
    env: options.env,
    giveUpMs: options.giveUpMs ?? defaultGiveUpMs,
  });
  const files = createDaytonaFiles({ machine, root, roots, base, assertUsable: commands.assertUsable });
  const stops = options.id === undefined && options.keepRunning !== true;
  let disposed: Promise<void> | undefined;
  let removed: Promise<void> | undefined;

  const dispose = async (): Promise<void> => {
    await commands.end();
    if (stops && removed === undefined) await stop(remote, client, options.startTimeoutMs);
  };
  return {
    id: remote.id,
    backend: "daytona",
    capabilities: daytonaCapabilities(),
    root,
    files,
    execute: commands.execute,
    spawn: commands.spawn,
    processes: commands.processes,
    process: commands.process,
    async dispose({ remove: removes = false } = {}) {
      if (removes) {
        removed ??= commands.end().then(() => remove(remote, client, options.startTimeoutMs));
        disposed ??= removed;
        await removed;
      }
      disposed ??= dispose();
      await disposed;
      await client.close();
    },
  };
}

/** Where the root really lies. What the scripts need is asked for now, rather than missed in the middle of something. */
async function prepare(machine: Machine, rootDir: string, base: string): Promise<string> {
  const output = await machine.run(
    `
export LC_ALL=C
d=${quote(rootDir)}
if ! said=$(mkdir -p -- "$d" 2>&1); then
  # Daytona's own images have a user that may not make /workspace, but may become one that may.
  { sudo -n mkdir -p -- "$d" && sudo -n chown "$(id -u):$(id -g)" "$d"; } >/dev/null 2>&1 || { printf '? %s\\n' "$said"; exit 0; }
fi
cd -P -- "$d" || exit 1
[ -d ${base} ] || mkdir -m 700 ${base} || exit 1
{
  find . -maxdepth 0 -printf '' && stat -c %s . && base64 -w 0 </dev/null && mv --version && setsid true &&
  echo x | grep -Z -F x
} >/dev/null 2>&1 || echo '- tools'
printf 'root '; readlink /proc/self/cwd`,
    { what: "prepare the sandbox", idempotent: true },
  );
  const lines = output?.split("\n") ?? [];
  const failure = lines.find((line) => line.startsWith("? "));
  if (failure !== undefined) throw toScriptError(failure, rootDir);
  const root = lines.find((line) => line.startsWith("root "))?.slice("root ".length);
  if (root === undefined || lines.includes("- tools")) {
    const words =
      "The sandbox lacks what this backend works with: a POSIX shell, /proc, and GNU's coreutils, findutils and grep.";
    throw new SandboxError(
      "backend-unavailable",
      `${words} Use a snapshot that has them, such as one made from debian.`,
    );
  }
  return root;
}

/** What is gone already needs no stop. */
async function stop(remote: DaytonaSandbox, client: DaytonaClient, ms: number): Promise<void> {
  const what = `stop the sandbox ${remote.id}`;
  await unlessGone(remote, () =>
    client.call(() => remote.stop(Math.ceil(ms / 1000)), { what, idempotent: true, deadlineMs: ms }),
  );
}

async function remove(remote: DaytonaSandbox, client: DaytonaClient, ms: number): Promise<void> {
  const what = `delete the sandbox ${remote.id}`;
  await unlessGone(remote, () =>
    client.call(() => remote.delete(Math.ceil(ms / 1000)), { what, idempotent: true, deadlineMs: ms }),
  );
}

async function unlessGone(remote: DaytonaSandbox, run: () => Promise<unknown>): Promise<void> {
  try {
    await run();
  } catch (error) {
    const known = toSandboxError(error, `end the sandbox ${remote.id}`);
    if (known.code !== "sandbox-gone") throw known;
  }
}
