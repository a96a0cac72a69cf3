import { resolveHome } from "@stigmer/config";
import { startSupervisor } from "../../daemon/supervisor.ts";
import type { StartPlatform } from "./platform.ts";

/** The daemon's own processes, supervised by this one, on any free port. */
export const startLocalPlatform: StartPlatform = async ({ env, secrets, signal }) => {
  const supervisor = startSupervisor({ homes: resolveHome(env), env, port: 0, secrets });
  // A start that is given up ends what has started, and `ready` with it.
  const stop = (): Promise<void> => supervisor.stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    const { endpoint } = await supervisor.ready;
    return { endpoint, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};
