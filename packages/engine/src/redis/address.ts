import { readFile } from "node:fs/promises";
import type { RedisOptions } from "ioredis";
import { createTlsConnector } from "./tls-connector.ts";

/** How Redis is reached. */
export interface RedisAddress {
  readonly host: string;
  /** Default 6379. */
  readonly port?: number;
  /** Default: Redis' own, `default`. */
  readonly username?: string;
  readonly password?: string;
  /** Encrypts the connection. The certificate must be for `host`, by an authority of the system's or one in `caFile` (PEM). */
  readonly tls?: { readonly caFile?: string };
}

/** In front of every key and channel of ours: keeps apart what else is in the same Redis. */
export const KEY_PREFIX = "stigmer:";

/** `host:port`, for people. */
export function placeOf({ host, port = 6379 }: RedisAddress): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** What every connection of ours has in common. Throws when the authority's file can't be read. */
export async function clientOptions(address: RedisAddress): Promise<RedisOptions> {
  const { host, port = 6379, username, password, tls } = address;
  return {
    host,
    port,
    username,
    password,
    lazyConnect: true,
    // Nobody waits for a command while Redis is away.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    ...(tls && {
      tls: tls.caFile === undefined ? {} : { ca: await readAuthority(tls.caFile) },
      Connector: await createTlsConnector(),
    }),
  };
}

async function readAuthority(caFile: string): Promise<Buffer> {
  try {
    return await readFile(caFile);
  } catch (cause) {
    throw new Error(`REDIS_CA_FILE=${caFile} can't be read (${(cause as Error).message})`, { cause });
  }
}

const UNTRUSTED: ReadonlySet<unknown> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
]);

/** Why Redis can't be used, and what to do about it, in one line that never holds the password. */
export function explainFailure(error: unknown, address: RedisAddress): string {
  const { message = String(error), code } = error as { message?: string; code?: unknown };
  const at = placeOf(address);
  if (message.startsWith("REDIS_CA_FILE"))
    return `${message}; name the PEM file of the authority that Redis' certificate is from`;
  if (message.includes("WRONGPASS"))
    return `${at} refuses this username and password (WRONGPASS); check REDIS_USERNAME and REDIS_PASSWORD`;
  if (message.includes("NOAUTH")) return `${at} asks for a password; set REDIS_PASSWORD`;
  if (message.includes("NOPERM")) {
    return `${at} does not allow this user what Stigmer does (${hidden(message, address)}); allow it +@connection +@pubsub +@read +@write +@scripting +info on ~${KEY_PREFIX}* and &${KEY_PREFIX}*`;
  }
  if (UNTRUSTED.has(code))
    return `${at} shows a certificate that is not to be trusted (${message}); name its authority's file with REDIS_CA_FILE`;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return `${at} shows a certificate of another host (${message}); check REDIS_HOST`;
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG") {
    return `${at} does not speak TLS; check REDIS_TLS and REDIS_PORT`;
  }
  return `${at}: ${hidden(message, address)}; check REDIS_HOST, REDIS_PORT and REDIS_TLS`;
}

function hidden(message: string, { password }: RedisAddress): string {
  return password ? message.replaceAll(password, "********") : message;
}
