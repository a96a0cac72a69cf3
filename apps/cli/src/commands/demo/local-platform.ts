import { resolveHome } from "@stigmer/config";
import { startSupervisor } from "../../daemon/supervisor.ts";
import type { StartPlatform } from "./platform.ts";

/** The local daemon's server and runner, kept by this process. */
export const startLocalPlatform: StartPlatform = async ({ env, secrets, signal }) => {
  const supervisor = await startSupervisor({ homes: resolveHome(env), env, secrets, port: 0, signal });
  return { endpoint: supervisor.endpoint, stop: supervisor.stop };
};
