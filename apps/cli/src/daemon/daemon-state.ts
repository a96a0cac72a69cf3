import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { makeDirectory } from "./make-directory.ts";
import { runnerChoice, type RunnerChoice } from "./runner-choice.ts";

const processNames = ["temporal", "stigmer-server", "agent-runner"] as const;

/** In the order in which they are started. */
export type ProcessName = (typeof processNames)[number];

/** One of the daemon's children. */
export interface ProcessState {
  readonly name: ProcessName;
  /** 0 while it has no process. */
  readonly pid: number;
  readonly state: "starting" | "running" | "restarting" | "failed" | "stopping" | "stopped";
  /** When this process of it was started; undefined while it has none. */
  readonly startedAt?: string | undefined;
  /** How often it was started again. */
  readonly restarts: number;
  /** Why it ended last; empty when it never did. */
  readonly lastError: string;
}

/** What the daemon tells other processes of itself, in `run/daemon.json`. Worth something only while its lock is held. */
export interface DaemonState {
  readonly pid: number;
  readonly startedAt: string;
  readonly state: "starting" | "running" | "stopping";
  readonly dataDir: string;
  readonly logsDir: string;
  /** `127.0.0.1:<port>`; empty until the server has one. */
  readonly endpoint: string;
  readonly engine: "embedded" | "temporal";
  /** Undefined in the state of an older daemon: a process. */
  readonly runner?: RunnerChoice | undefined;
  readonly processes: readonly ProcessState[];
  /** Of the stigmer that runs; undefined in the state of an older one. */
  readonly version?: string | undefined;
  /** The variables about models that the runner was started with. Secrets are only said to be set. */
  readonly modelEnvironment?: Readonly<Record<string, string>> | undefined;
}

const daemonState: z.ZodType<DaemonState> = z.object({
  pid: z.number(),
  startedAt: z.string(),
  state: z.enum(["starting", "running", "stopping"]),
  dataDir: z.string(),
  logsDir: z.string(),
  endpoint: z.string(),
  engine: z.enum(["embedded", "temporal"]),
  runner: runnerChoice.optional(),
  processes: z.array(
    z.object({
      name: z.enum(processNames),
      pid: z.number(),
      state: z.enum(["starting", "running", "restarting", "failed", "stopping", "stopped"]),
      startedAt: z.string().optional(),
      restarts: z.number(),
      lastError: z.string(),
    }),
  ),
  version: z.string().optional(),
  modelEnvironment: z.record(z.string(), z.string()).optional(),
});

/** Replaces the file in one step: a reader sees the old state or the new one, never half of it. */
export function writeState(file: string, state: DaemonState): void {
  makeDirectory(dirname(file));
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(temporary, file);
}

/** Undefined when there is none, or when another version wrote one that this one can't read. */
export function readState(file: string): DaemonState | undefined {
  try {
    return daemonState.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return undefined;
  }
}

export function removeState(file: string): void {
  rmSync(file, { force: true });
}
