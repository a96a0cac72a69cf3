import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { CliError, exitCodes } from "../../errors.ts";
import type { CommandIo } from "../../command-io.ts";
import { chooseModel, type ModelVariables, scriptedVariables } from "../demo/choose-model.ts";
import { findAgentSource } from "./agent-source.ts";
import { compare, type Comparison, type Undisturbed } from "./compare.ts";
import type { DurablePoint, Victim } from "./durable-points.ts";
import { planStrikes, type Strike } from "./plan.ts";
import { createReport, type Report } from "./report.ts";
import { type Experiment, runDisturbed, runUndisturbed } from "./repetition.ts";
import { findTemporal } from "./temporal-server.ts";

export interface ChaosOptions {
  /** Path of manifests, else name or id on the running server. */
  readonly agent: string;
  readonly message: string;
  readonly victims: readonly Victim[];
  readonly engine: "embedded" | "temporal";
  /** What a scripted model says; absent: the configured model. */
  readonly scenario?: string;
  /** At most so many repetitions. */
  readonly points?: number;
  readonly workspace?: string;
  /** Path of Temporal's command line. Default: `temporal` on PATH. */
  readonly temporal?: string;
  /** Platforms at a time. */
  readonly jobs: number;
  readonly json?: boolean;
}

/**
 * Runs an agent undisturbed, then again for each durable point and victim, killing the victim there, and tells every
 * difference. All of it happens on platforms of its own, of which nothing is left at the end, also after Ctrl-C.
 */
export async function chaos(options: ChaosOptions, io: CommandIo): Promise<number> {
  const stop = new AbortController();
  const stopListening = io.onSignal(() => {
    if (!stop.signal.aborted) io.stderr.write("\nStopping…\n");
    stop.abort(new CliError("interrupted", "The sweep was stopped."));
  });
  const close: (() => Promise<void>)[] = [];
  try {
    const experiment = await prepare(options, { io, signal: stop.signal, onOpen: (end) => void close.push(end) });
    return await sweep({ ...options, victims: victimsOf(options, io) }, experiment, createReport(options, io));
  } finally {
    for (const end of close) await end();
    stopListening();
  }
}

interface Prepare {
  readonly io: CommandIo;
  readonly signal: AbortSignal;
  readonly onOpen: (close: () => Promise<void>) => void;
}

/** Finds everything that can be missing before anything is started. */
async function prepare(options: ChaosOptions, { io, signal, onOpen }: Prepare): Promise<Experiment> {
  const { message, engine } = options;
  if (message.trim() === "") throw new CliError("usage", "the message is empty: say what the agent is to do");
  const workspace = options.workspace === undefined ? undefined : resolve(io.cwd, options.workspace);
  if (workspace !== undefined && !(await isDirectory(workspace))) {
    throw new CliError("failed", `--workspace ${options.workspace}: there is no such directory`);
  }
  const temporal = engine === "temporal" ? await findTemporal(options.temporal, io) : undefined;
  const agent = await findAgentSource(options.agent, io);
  const modelVariables = await openModel(options.scenario, { io, signal, onOpen });
  return { agent, message, workspace, env: io.env, modelVariables, temporal, signal };
}

async function openModel(scenario: string | undefined, { io, signal, onOpen }: Prepare): Promise<ModelVariables> {
  if (scenario === undefined) {
    const model = await chooseModel(io, signal);
    if (model.kind === "configured") return model.variables;
    throw new CliError("failed", `${model.hint} Or let a scripted model speak: --scenario FILE`.trim());
  }
  const { startScriptedModel, ScriptedModelError } = await import("@stigmer/scripted-model");
  try {
    const scripted = await startScriptedModel({ scenario: resolve(io.cwd, scenario) });
    onOpen(() => scripted.close());
    return scriptedVariables(scripted.url);
  } catch (error) {
    throw ScriptedModelError.is(error) ? new CliError("failed", error.message, { cause: error }) : error;
  }
}

function victimsOf({ victims, engine }: ChaosOptions, io: CommandIo): readonly Victim[] {
  if (engine === "temporal" || !victims.includes("engine")) return [...new Set(victims)];
  io.stderr.write("The embedded engine is part of the server: for the victim engine the server is killed.\n");
  return [...new Set(victims.map((victim) => (victim === "engine" ? "server" : victim)))];
}

async function sweep(options: ChaosOptions, experiment: Experiment, report: Report): Promise<number> {
  const { undisturbed, points } = await runTwice(experiment, report);
  const strikes = planStrikes({ points, victims: options.victims, atMost: options.points });
  report.begin({ undisturbed, points, strikes });
  const failures: Strike[] = [];
  let unknown = 0;
  await inParallel(strikes, options.jobs, async (strike) => {
    const result = await repeat(experiment, strike, undisturbed);
    if (result.differences.length > 0) failures.push(strike);
    unknown += result.unknown;
    report.repetition(strike, result);
  });
  report.end({ strikes: strikes.length, failures, unknown });
  return failures.length === 0 ? 0 : exitCodes.failed;
}

/** Once to learn from, and once to see whether a run repeats itself at all: what differs by itself says nothing of a crash. */
async function runTwice(
  experiment: Experiment,
  report: Report,
): Promise<{ undisturbed: Undisturbed; points: readonly DurablePoint[] }> {
  const runs: Awaited<ReturnType<typeof runUndisturbed>>[] = [];
  await inParallel([0, 1], 2, async () => {
    runs.push(await runUndisturbed(experiment));
  });
  const [first, second] = runs as [(typeof runs)[0], (typeof runs)[0]];
  const { differences } = compare(first.undisturbed, { ...second.undisturbed, struck: true, openAtStrike: [] });
  if (differences.length > 0) report.unrepeatable(differences);
  return first;
}

/** How a repetition came out. */
export interface RepetitionResult extends Pick<Comparison, "differences" | "unknown"> {
  readonly statusHash?: string;
  /** From the submission to the end of the run; absent when it did not end. */
  readonly durationMs?: number;
}

async function repeat(experiment: Experiment, strike: Strike, undisturbed: Undisturbed): Promise<RepetitionResult> {
  try {
    const disturbed = await runDisturbed(experiment, strike);
    return { ...compare(undisturbed, disturbed), durationMs: disturbed.durationMs };
  } catch (error) {
    experiment.signal.throwIfAborted();
    return { differences: [error instanceof Error ? error.message : String(error)], unknown: 0 };
  }
}

/** Waits for what is under way also when one of them fails: each has things to clear away. */
async function inParallel<T>(items: readonly T[], atATime: number, body: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const errors: unknown[] = [];
  const work = async (): Promise<void> => {
    for (const item of queue) {
      if (errors.length > 0) return;
      await body(item).catch((error: unknown) => errors.push(error));
    }
  };
  await Promise.all(Array.from({ length: atATime }, work));
  if (errors.length > 0) throw errors[0];
}

async function isDirectory(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
