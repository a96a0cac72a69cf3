import { readFileSync } from "node:fs";
import { BlockList, isIP } from "node:net";
import type { Environment } from "./environment.ts";
import { splitEndpoint } from "./formats.ts";
import { type Homes, resolveHome } from "./home.ts";
import { type ConfigProblem, missing } from "./problems.ts";
import { readVariables } from "./read-variables.ts";

/** The Stigmer server that a process talks to, and the key it shows. */
export interface Backend {
  /** `host:port`, or `https://host:port`. */
  readonly endpoint: string;
  readonly tls: boolean;
  readonly apiKey: string;
  /** The certificates (PEM) of who may vouch for the server. Absent: those that Node trusts. */
  readonly ca?: string;
}

/** Returns the key in the file, or undefined when there is no such file. */
export type ReadLocalKey = (file: string) => string | undefined;

export type BackendResult =
  | { readonly ok: true; readonly backend: Backend }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

export interface ResolveBackendOptions {
  readonly homes: Homes;
  readonly readLocalKey?: ReadLocalKey;
  /** `STIGMER_TLS_CA_FILE`. */
  readonly caFile?: string;
}

/** What older local clients send. The server takes it only when told to. */
export const dummyLocalKey = "dummy-local-key";

/**
 * The server that the `stigmer` command talks to: `STIGMER_BACKEND_ENDPOINT`, else the local one. `local.key` goes to a
 * loopback endpoint alone; any other needs `STIGMER_API_KEY`.
 */
export function readBackend(
  env: Environment = process.env,
  options: { readonly home?: string; readonly readLocalKey?: ReadLocalKey } = {},
): BackendResult {
  const result = readVariables(env, { mode: "local", reader: "client", home: options.home });
  if (!result.ok) return result;
  const { STIGMER_BACKEND_ENDPOINT: endpoint, STIGMER_API_KEY: apiKey, STIGMER_TLS_CA_FILE: caFile } = result.values;
  return resolveLocalBackend(endpoint, apiKey, {
    homes: resolveHome(env, options),
    readLocalKey: options.readLocalKey,
    caFile,
  });
}

/**
 * In local mode an unset key means the one in `local.key`, and so does the dummy, toward a loopback endpoint alone: this
 * machine's key is nobody else's to see. Any other server needs a key of its own.
 */
export function resolveLocalBackend(
  endpoint: string,
  apiKey: string | undefined,
  { homes, readLocalKey = readKeyFile, caFile }: ResolveBackendOptions,
): BackendResult {
  if (apiKey === undefined && !isLoopback(endpoint)) return { ok: false, problems: [missing("STIGMER_API_KEY")] };
  const isUnset = apiKey === undefined || (apiKey === dummyLocalKey && isLoopback(endpoint));
  if (!isUnset) return backendOf(endpoint, apiKey, caFile);
  try {
    return backendOf(endpoint, readLocalKey(homes.localKeyFile)?.trim() || dummyLocalKey, caFile);
  } catch (error) {
    const message = `${homes.localKeyFile} can't be read (${reasonOf(error)}): make it readable for this user, or set STIGMER_API_KEY`;
    return { ok: false, problems: [{ code: "bad-file", path: homes.localKeyFile, message }] };
  }
}

export function backendOf(endpoint: string, apiKey: string, caFile: string | undefined): BackendResult {
  const backend = { endpoint, tls: splitEndpoint(endpoint)?.tls ?? false, apiKey };
  if (caFile === undefined) return { ok: true, backend };
  try {
    const ca = readFileSync(caFile, "utf8");
    if (ca.includes("-----BEGIN CERTIFICATE-----")) return { ok: true, backend: { ...backend, ca } };
    return badCaFile(caFile, "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)");
  } catch (error) {
    return badCaFile(caFile, `can't be read (${reasonOf(error)})`);
  }
}

function badCaFile(path: string, what: string): BackendResult {
  const message = `${path} ${what}: STIGMER_TLS_CA_FILE names the certificates of who vouches for the server`;
  return { ok: false, problems: [{ code: "bad-file", path, message }] };
}

function reasonOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown reason";
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Whether an endpoint can only be on this machine. */
export function isLoopback(endpoint: string): boolean {
  const host = splitEndpoint(endpoint)?.host.toLowerCase() ?? "";
  const family = isIP(host);
  return family === 0
    ? host === "localhost" || host.endsWith(".localhost")
    : loopback.check(host, family === 6 ? "ipv6" : "ipv4");
}

function readKeyFile(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
