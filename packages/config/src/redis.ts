import type { Values } from "./read-variables.ts";

/** How Redis is reached, in cloud mode. */
export interface RedisConfig {
  readonly host: string;
  readonly port: number;
  readonly password?: string;
}

export function redisOf(
  values: Pick<Values<"cloud", "server">, "REDIS_HOST" | "REDIS_PORT" | "REDIS_PASSWORD">,
): RedisConfig {
  const { REDIS_HOST: host, REDIS_PORT: port, REDIS_PASSWORD: password } = values;
  return { host, port, ...(password && { password }) };
}
