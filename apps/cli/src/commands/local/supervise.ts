import { text } from "node:stream/consumers";
import { resolveHome } from "@stigmer/config";
import { z } from "zod";
import type { CommandIo } from "../../command-io.ts";
import type { SupervisorMessage } from "../../daemon/start-detached.ts";
import { AlreadyRunningError, startSupervisor } from "../../daemon/supervisor.ts";

export interface SuperviseOptions {
  readonly port?: number;
}

const secretsSchema = z.record(z.string(), z.string());

/** The daemon itself: started detached by `local start`, which gives it the secrets by standard input. */
export async function supervise(options: SuperviseOptions, io: CommandIo): Promise<number> {
  const tell = (message: SupervisorMessage): void => {
    // The command that started this may be gone: that stops nothing.
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  };
  const stop = new AbortController();
  const asked = Promise.withResolvers<void>();
  const stopListening = io.onSignal(() => {
    stop.abort();
    asked.resolve();
  });
  try {
    const secrets = secretsSchema.parse(JSON.parse((await text(io.stdin)) || "{}"));
    const supervisor = await startSupervisor({
      homes: resolveHome(io.env),
      env: io.env,
      secrets,
      port: options.port,
      signal: stop.signal,
    });
    tell({ type: "ready" });
    await asked.promise;
    await supervisor.stop();
    return 0;
  } catch (error) {
    if (error instanceof AlreadyRunningError) {
      tell({ type: "already-running" });
      return 0;
    }
    tell({ type: "failed", message: error instanceof Error ? error.message : String(error) });
    return 1;
  } finally {
    stopListening();
  }
}
