import type { DaemonState } from "../../daemon/daemon-state.ts";
import { createPaint } from "../../output/colors.ts";
import type { CommandIo } from "../../command-io.ts";
import { formatTable } from "../../output/table.ts";

/** The shape of `local status --json`, which scripts rely on. `lastError` is there once a process has crashed. */
export function toStatusJson(state: DaemonState): object {
  return {
    running: true,
    dataDir: state.dataDir,
    endpoint: state.endpoint,
    engine: state.engine,
    processes: state.processes.map(({ name, pid, state, restarts, lastError }) => ({
      name,
      pid,
      state,
      restarts,
      ...(lastError && { lastError }),
    })),
  };
}

/** The same for people. */
export function showDaemon(state: DaemonState, io: CommandIo): string {
  const paint = createPaint(io.stdout, io.env);
  const rows = state.processes.map(({ name, pid, state, restarts }) => [
    name,
    pid === 0 ? "-" : String(pid),
    state,
    String(restarts),
  ]);
  const lines = [
    `PID:            ${state.pid}`,
    `Endpoint:       ${state.endpoint || "not listening yet"}`,
    `Engine:         ${state.engine}`,
    `Data directory: ${state.dataDir}`,
    `Logs:           ${state.logsDir}`,
    "",
    formatTable(["PROCESS", "PID", "STATE", "RESTARTS"], rows),
    ...state.processes
      .filter(({ lastError }) => lastError)
      .map(({ name, lastError, state }) =>
        state === "failed"
          ? paint(
              "red",
              `${name} is left alone after too many crashes: ${lastError}\nStart it with \`stigmer local restart\`.`,
            )
          : paint("yellow", `${name} was started again after: ${lastError}`),
      ),
  ];
  return `${lines.join("\n").trimEnd()}\n`;
}
