import { accessSync, constants, existsSync, statfsSync, statSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { type Homes, readConfig, readConfigFile, readServerConfig } from "@stigmer/config";
import { whyNodeIsUnfit } from "@stigmer/config/node-process";
import { checkSandboxBackend, type SandboxBackendConfig, SandboxError } from "@stigmer/sandbox";
import type { CommandIo } from "../../command-io.ts";
import { findDaemon } from "../../daemon/find-daemon.ts";
import { showBytes } from "../../output/bytes.ts";
import { otherVersion } from "../local/show-daemon.ts";

/** What a look at one thing found. */
export interface Finding {
  readonly state: "ok" | "warn" | "fail";
  readonly message: string;
  /** What to do about it. */
  readonly fix?: string;
}

const ok = (message: string): Finding => ({ state: "ok", message });
const warn = (message: string, fix: string): Finding => ({ state: "warn", message, fix });
const fail = (message: string, fix: string): Finding => ({ state: "fail", message, fix });

export function checkNode(version: string = process.versions.node): Finding {
  const unfit = whyNodeIsUnfit(version);
  return unfit ? fail(unfit.problem, unfit.fix) : ok(version);
}

export function checkHome({ home }: Homes): Finding {
  const stats = statSync(home, { throwIfNoEntry: false });
  try {
    accessSync(existing(home), constants.W_OK);
  } catch {
    return fail(`${home} can't be written`, "make it writable, or choose another directory with STIGMER_HOME");
  }
  if (!stats) return ok(`${home} is made with the first start`);
  if (!stats.isDirectory()) return fail(`${home} is not a directory`, "choose another one with STIGMER_HOME");
  const isOpen = (stats.mode & 0o022) !== 0;
  return isOpen ? warn(`others can write to ${home}`, `chmod go-w ${home}`) : ok(home);
}

export function checkSettings(homes: Homes, { env }: CommandIo): Finding {
  const server = readServerConfig({ ...env, MODE: "local" });
  const runner = readConfig({ ...env, MODE: "local" }, { readLocalKey: () => undefined });
  const file = readConfigFile(homes.configFile);
  const problems = [server, runner, file].flatMap((result) => (result.ok ? [] : result.problems));
  const said = [...new Set(problems.map(({ message }) => message))];
  if (said.length > 0) return fail(said.join("; "), "correct it: docs/reference/configuration.md says what is allowed");
  return ok(existsSync(homes.configFile) ? homes.configFile : "no config.yaml, defaults");
}

const LITTLE_BYTES = 2e9;
const TOO_LITTLE_BYTES = 200e6;

export function checkDisk({ dataDir }: Homes): Finding {
  const { bavail, bsize } = statfsSync(existing(dataDir));
  const free = bavail * bsize;
  const message = `${showBytes(free)} free for ${dataDir}`;
  if (free >= LITTLE_BYTES) return ok(message);
  const fix = "free some, or move the data with STIGMER_DATA_DIR";
  return free >= TOO_LITTLE_BYTES ? warn(message, fix) : fail(message, fix);
}

export async function checkDaemon(homes: Homes): Promise<Finding> {
  const daemon = await findDaemon(homes);
  if (!daemon) return ok("none runs");
  const failed = daemon.processes.find(({ state }) => state === "failed");
  if (failed) return fail(`${failed.name} is left alone: ${failed.lastError}`, "stigmer local restart");
  const [other] = otherVersion(daemon);
  return other ? warn(other, "stigmer local restart") : ok(`PID ${daemon.pid} serves ${daemon.endpoint}`);
}

export async function checkPort(homes: Homes, { env }: CommandIo): Promise<Finding> {
  const daemon = await findDaemon(homes);
  if (daemon) return ok(`the daemon has ${daemon.endpoint}`);
  const config = readServerConfig({ ...env, MODE: "local" });
  const port = config.ok ? config.config.port : 50_051;
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return ok(port === 0 ? "any free one" : `${port} is free`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const what = code === "EADDRINUSE" ? `${port} on 127.0.0.1 is in use` : `${port} can't be had (${code})`;
    return fail(what, "stop what has it, or set STIGMER_PORT to another one (0 for any)");
  } finally {
    server.close();
  }
}

/** The backend that is configured has to be there; of the others it is good to know. */
export async function checkSandboxes({ env }: CommandIo, offline: boolean): Promise<Finding> {
  const config = readConfig({ ...env, MODE: "local" }, { readLocalKey: () => undefined });
  const chosen = config.ok ? config.config.sandboxConfig().type : "filesystem";
  const host = env["DOCKER_HOST"];
  const backends: SandboxBackendConfig[] = [
    { type: "isolated" },
    ...(offline ? [] : [{ type: "docker" as const, ...(host && { host }) }]),
  ];
  const found = await Promise.all(
    backends.map(async (backend) => ({ type: backend.type, reason: await reasonAgainst(backend) })),
  );
  const usable = ["filesystem", ...found.filter(({ reason }) => reason === undefined).map(({ type }) => type)];
  const missing = found.find(({ type, reason }) => type === chosen && reason !== undefined);
  if (missing?.reason) return fail(missing.reason, "install what is missing, or unset SANDBOX_TYPE");
  // Those that sessions may ask for without anyone having said so are no promise.
  const named: string[] =
    config.ok && env["SANDBOX_TYPES"] ? config.config.sandboxConfigs().map(({ type }) => type) : [];
  const promised = found.find(({ type, reason }) => named.includes(type) && reason !== undefined);
  if (promised?.reason)
    return warn(promised.reason, `install what is missing, or take ${promised.type} out of SANDBOX_TYPES`);
  return ok(`${chosen}; usable are ${usable.join(", ")}`);
}

async function reasonAgainst(backend: SandboxBackendConfig): Promise<string | undefined> {
  try {
    await checkSandboxBackend(backend);
    return undefined;
  } catch (error) {
    if (SandboxError.is(error)) return error.message;
    throw error;
  }
}

/** The deepest directory of a path that is there. */
function existing(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : existing(dirname(path));
}
