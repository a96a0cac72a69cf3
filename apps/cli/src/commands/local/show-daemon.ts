import type { DaemonState } from "../../daemon/daemon-state.ts";
import { RUNNER_CONTAINER } from "../../daemon/runner-choice.ts";
import { createPaint } from "../../output/colors.ts";
import type { CommandIo } from "../../command-io.ts";
import { formatTable } from "../../output/table.ts";

/** The shape of `local status --json`, which scripts rely on. `lastError` is there once a process has crashed, `container` and `image`
 * where the runner is in a container. */
export function toStatusJson(daemon: DaemonState): object {
  return {
    running: true,
    dataDir: daemon.dataDir,
    endpoint: daemon.endpoint,
    engine: daemon.engine,
    processes: daemon.processes.map(({ name, pid, state, restarts, lastError }) => ({
      name,
      pid,
      state,
      restarts,
      ...(name === "agent-runner" &&
        daemon.runner?.type === "docker" && { container: RUNNER_CONTAINER, image: daemon.runner.image }),
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
    ...(state.runner?.type === "docker" ? [`Container:      ${RUNNER_CONTAINER} (${state.runner.image})`] : []),
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
