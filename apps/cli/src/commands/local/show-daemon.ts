import type { CommandIo } from "../../command-io.ts";
import type { DaemonState, ProcessState } from "../../daemon/daemon-state.ts";
import { RUNNER_CONTAINER } from "../../daemon/runner-choice.ts";
import { showBytes } from "../../output/bytes.ts";
import { createPaint, type Paint } from "../../output/colors.ts";
import { durationBetween, formatDuration } from "../../output/durations.ts";
import { formatTable } from "../../output/table.ts";
import { readVersion } from "../../version.ts";
import type { DaemonDetails, Queue } from "./daemon-status.ts";

/** The shape of `local status --json` and `local start --json`, which scripts rely on: `local-status.schema.json`. */
export function toStatusJson(daemon: DaemonState, details?: DaemonDetails): object {
  return {
    running: true,
    pid: daemon.pid,
    ...(daemon.version !== undefined && { version: daemon.version }),
    startedAt: daemon.startedAt,
    dataDir: daemon.dataDir,
    logsDir: daemon.logsDir,
    endpoint: daemon.endpoint,
    port: portOf(daemon),
    engine: daemon.engine,
    ...(details && { model: details.model.name ?? null, queue: details.queue ?? null }),
    ...(details?.model.fault && { modelError: details.model.fault }),
    processes: daemon.processes.map((process) => ({
      name: process.name,
      pid: process.pid,
      state: process.state,
      restarts: process.restarts,
      ...(process.startedAt && { startedAt: process.startedAt, uptimeSeconds: Math.floor(uptimeOf(process) / 1000) }),
      ...(details?.memory.has(process.pid) && { memoryBytes: details.memory.get(process.pid) }),
      ...(process.name === "agent-runner" &&
        daemon.runner?.type === "docker" && { container: RUNNER_CONTAINER, image: daemon.runner.image }),
      ...(process.lastError && { lastError: process.lastError }),
    })),
  };
}

/** The same for people. */
export function showDaemon(daemon: DaemonState, io: CommandIo, details?: DaemonDetails): string {
  const paint = createPaint(io.stdout, io.env);
  const rows = daemon.processes.map((process) => {
    const memory = details?.memory.get(process.pid);
    return [
      process.name,
      process.pid === 0 ? "-" : String(process.pid),
      process.state,
      process.startedAt ? formatDuration(uptimeOf(process)) : "-",
      String(process.restarts),
      ...(details ? [memory === undefined ? "-" : showBytes(memory)] : []),
    ];
  });
  const lines = [
    `PID:            ${daemon.pid}`,
    `Endpoint:       ${daemon.endpoint || "not listening yet"}`,
    `Engine:         ${daemon.engine}`,
    ...(details ? [`Model:          ${showModel(details, paint)}`, `Queue:          ${showQueue(details.queue)}`] : []),
    `Data directory: ${daemon.dataDir}`,
    `Logs:           ${daemon.logsDir}`,
    ...(daemon.runner?.type === "docker" ? [`Container:      ${RUNNER_CONTAINER} (${daemon.runner.image})`] : []),
    "",
    formatTable(["PROCESS", "PID", "STATE", "UPTIME", "RESTARTS", ...(details ? ["MEMORY"] : [])], rows),
    ...daemon.processes.filter(({ lastError }) => lastError).map((process) => showLastError(process, paint)),
    ...otherVersion(daemon).map((line) => paint("yellow", line)),
  ];
  return `${lines.join("\n").trimEnd()}\n`;
}

/** What to say when the daemon was started by another version of stigmer than this one. */
export function otherVersion({ version }: DaemonState): string[] {
  const own = readVersion();
  if (version === own) return [];
  const what = version === undefined ? "an older version" : `version ${version}`;
  return [`The daemon is of ${what}, this stigmer of ${own}: bring it up to date with \`stigmer local restart\`.`];
}

function showLastError({ name, lastError, state }: ProcessState, paint: Paint): string {
  if (state !== "failed") return paint("yellow", `${name} was started again after: ${lastError}`);
  return paint(
    "red",
    `${name} is left alone after too many crashes: ${lastError}\nStart it with \`stigmer local restart\`.`,
  );
}

function showModel({ model }: DaemonDetails, paint: Paint): string {
  const { name = "none", fault } = model;
  return fault === undefined ? name : `${name}. ${paint("yellow", fault)}`;
}

function showQueue(queue: Queue | undefined): string {
  if (queue === undefined) return "unknown: the server does not answer";
  const { waiting, running, waitingForApproval } = queue;
  const approvals = waitingForApproval > 0 ? `, ${waitingForApproval} waiting for approval` : "";
  return `${running} in work, ${waiting} waiting${approvals}`;
}

function portOf({ endpoint }: DaemonState): number | null {
  return endpoint === "" ? null : Number(endpoint.split(":").at(-1));
}

function uptimeOf({ startedAt = "" }: ProcessState): number {
  return durationBetween(startedAt, new Date().toISOString()) ?? 0;
}
