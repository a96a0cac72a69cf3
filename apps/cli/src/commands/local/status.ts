import { resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { findDaemon } from "../../daemon/find-daemon.ts";
import { exitCodes } from "../../errors.ts";
import { writeLine } from "../../output/write.ts";
import { readDetails } from "./daemon-status.ts";
import { showDaemon, toStatusJson } from "./show-daemon.ts";

export interface LocalStatusOptions {
  readonly json?: boolean;
}

/** Shows what runs. The exit code says whether anything does. */
export async function localStatus({ json }: LocalStatusOptions, io: CommandIo): Promise<number> {
  const homes = resolveHome(io.env);
  const state = await findDaemon(homes);
  const details = state && (await readDetails(state, homes));
  if (json) {
    const nothing = { running: false, dataDir: homes.dataDir, endpoint: "", engine: "embedded", processes: [] };
    writeLine(io.stdout, JSON.stringify(state ? toStatusJson(state, details) : nothing));
  } else if (state) {
    io.stdout.write(showDaemon(state, io, details));
  } else {
    writeLine(io.stdout, `Nothing runs in ${homes.home}. Start it with \`stigmer local start\`.`);
  }
  return state ? 0 : exitCodes.failed;
}
