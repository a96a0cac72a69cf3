// What server and runners have in common of Redis: how it is reached, and how a runner hears that a run has something waiting for it.
export { clientOptions, explainFailure, KEY_PREFIX, placeOf } from "./address.ts";
export type { RedisAddress } from "./address.ts";
export { connectRedis } from "./connect.ts";
export type { ConnectRedisOptions, RedisConnection } from "./connect.ts";
export { createWakeUps, wakeChannel } from "./wake-ups.ts";
