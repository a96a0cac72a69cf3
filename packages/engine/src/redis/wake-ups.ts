import type { WakeUps } from "../wake-ups.ts";
import { KEY_PREFIX } from "./address.ts";
import type { RedisConnection } from "./connect.ts";

/** Where a server says that something was stored for a run. The message itself says nothing. */
export function wakeChannel(executionId: string): string {
  return `${KEY_PREFIX}wake:${executionId}`;
}

/** Wake-ups by Redis' publish and subscribe. After Redis was away, every run is asked about: nobody knows what was missed. */
export function createWakeUps(connection: Pick<RedisConnection, "subscribe" | "onBack">): WakeUps {
  return {
    subscribe(executionId, listener) {
      const unsubscribe = connection.subscribe(wakeChannel(executionId), listener);
      const forget = connection.onBack(listener);
      return () => {
        unsubscribe();
        forget();
      };
    },
  };
}
