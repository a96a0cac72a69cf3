import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient, type StigmerClient } from "@stigmer/client";
import { openPlatform } from "../recovery/processes.ts";
import { meterOf, type ProcessMeter } from "./process-meter.ts";
import type { Access } from "./raw-watch.ts";

/** `stigmer server run`, as a person starts it, in a home of its own that goes with it. */
export interface OpenedServer extends AsyncDisposable {
  readonly access: Access;
  readonly client: StigmerClient;
  readonly meter: ProcessMeter;
}

/** `prepare` may put something into the folder of its data before it starts. */
export async function openServer(prepare: (dataDir: string) => Promise<void> = async () => {}): Promise<OpenedServer> {
  const platform = await openPlatform({ modelUrl: "" });
  try {
    await prepare(join(platform.home, "data"));
    const { child } = await platform.server();
    const apiKey = (await readFile(join(platform.home, "local.key"), "utf8")).trim();
    const access = { endpoint: platform.endpoint, apiKey };
    const client = createClient(access);
    return {
      access,
      client,
      meter: meterOf(child.pid),
      async [Symbol.asyncDispose]() {
        client.close();
        await platform[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await platform[Symbol.asyncDispose]();
    throw error;
  }
}
