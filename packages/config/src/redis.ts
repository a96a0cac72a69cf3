import type { Values } from "./read-variables.ts";

/** How Redis is reached, in cloud mode. */
export interface RedisConfig {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  /** Present when the connection is to be encrypted. */
  readonly tls?: { readonly caFile?: string };
}

export function redisOf(
  values: Pick<
    Values<"cloud", "server">,
    "REDIS_HOST" | "REDIS_PORT" | "REDIS_USERNAME" | "REDIS_PASSWORD" | "REDIS_TLS" | "REDIS_CA_FILE"
  >,
): RedisConfig {
  const { REDIS_HOST: host, REDIS_PORT: port, REDIS_USERNAME: username, REDIS_PASSWORD: password } = values;
  const { REDIS_TLS: tls, REDIS_CA_FILE: caFile } = values;
  return {
    host,
    port,
    ...(username && { username }),
    ...(password && { password }),
    ...(tls === "true" && { tls: caFile === undefined ? {} : { caFile } }),
  };
}
