import type { Logger } from "../engine.ts";
import type { TemporalAddress } from "./connect.ts";
import { loadTemporal } from "./load-temporal.ts";

/**
 * Asks whether Temporal answers and has the namespace, before anything else is begun. Throws `EngineError` in one line:
 * `unavailable` when nobody answers, `refused` when the namespace is not there or not for us.
 */
export async function checkTemporal(target: TemporalAddress, logger: Logger): Promise<void> {
  const { connect } = await loadTemporal(() => import("./connect.ts"));
  const connection = await connect(target, logger);
  await connection.close();
}
