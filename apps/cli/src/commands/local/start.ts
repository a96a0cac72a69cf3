import { resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { findDaemon } from "../../daemon/find-daemon.ts";
import { startDetached } from "../../daemon/start-detached.ts";
import type { DaemonState } from "../../daemon/daemon-state.ts";
import { writeLine } from "../../output/write.ts";
import { findModelKey } from "./model-key.ts";
import { showDaemon, toStatusJson } from "./show-daemon.ts";

export interface LocalStartOptions {
  readonly port?: number;
  readonly foreground?: boolean;
  readonly json?: boolean;
}

/** Starts the server and the runner, in the background unless asked to stay. A daemon that runs already is as good. */
export async function localStart(options: LocalStartOptions, io: CommandIo): Promise<number | void> {
  const homes = resolveHome(io.env);
  const running = findDaemon(homes);
  if (running?.state === "running") {
    show(running, options, io, "A daemon runs already.");
    return;
  }
  const { secrets, note } = await findModelKey(homes, io);
  writeLine(io.stderr, note);
  if (options.foreground) {
    const { superviseInForeground } = await import("./foreground.ts");
    return superviseInForeground({ homes, env: io.env, secrets, port: options.port }, io);
  }
  const { state, found } = await startDetached({ homes, env: io.env, secrets, port: options.port });
  show(
    state,
    options,
    io,
    found ? "A daemon runs already." : "Daemon started successfully\nAgent-runner started successfully",
  );
}

function show(state: DaemonState, { json, port }: LocalStartOptions, io: CommandIo, headline: string): void {
  if (json) {
    writeLine(io.stdout, JSON.stringify(toStatusJson(state)));
    return;
  }
  writeLine(io.stdout, headline);
  io.stdout.write(showDaemon(state, io));
  if (port && state.endpoint !== "" && !state.endpoint.endsWith(`:${port}`)) {
    writeLine(io.stderr, `It does not listen on port ${port}: for that, \`stigmer local restart --port ${port}\`.`);
  }
}
