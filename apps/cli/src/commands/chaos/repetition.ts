import { cp, mkdir, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { ClientError, type StigmerClient } from "@stigmer/client";
import {
  type AgentExecution,
  AgentExecutionStatusSchema,
  ExecutionPhase,
  ToolCallStatus,
} from "@stigmer/protos/agentexecution/v1";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";
import { showPhase } from "../../resources/kinds.ts";
import { prepareRun } from "../run/start-run.ts";
import type { AgentSource } from "./agent-source.ts";
import type { Disturbed, Observation, Undisturbed } from "./compare.ts";
import type { DurablePoint } from "./durable-points.ts";
import { findLeftovers } from "./leftovers.ts";
import { normalStatus } from "./normal-status.ts";
import { findOrphans } from "./orphans.ts";
import type { Strike } from "./plan.ts";
import { type ChaosPlatform, startPlatform } from "./platform.ts";
import { createRecorder, type Recorder } from "./recorder.ts";
import { readTree, type ToolEffect, type WorkspaceTree } from "./workspace-tree.ts";

/** What is the same in every repetition. */
export interface Experiment {
  readonly agent: AgentSource;
  readonly message: string;
  /** Copied for each repetition. Absent: an empty folder. */
  readonly workspace?: string;
  readonly env: CommandIo["env"];
  readonly modelVariables: Readonly<Record<string, string>>;
  /** Temporal's command line; absent: the embedded engine. */
  readonly temporal?: string;
  /** Ends everything; nothing is left behind. */
  readonly signal: AbortSignal;
}

const ENDS_WITHIN_MS = 180_000;
// From the end of a run to its last durable point, and from a kill to a process that is ready again.
const STRIKES_WITHIN_MS = 30_000;

/** Runs the agent on a platform of its own, and lets it be. */
export async function runUndisturbed(
  experiment: Experiment,
): Promise<{ readonly undisturbed: Undisturbed; readonly points: readonly DurablePoint[] }> {
  return await withFolder(async (root) => {
    const before = new Map<string, WorkspaceTree>();
    const effects = new Map<string, ToolEffect>();
    const recorder = createRecorder({
      async onToolCall(callKey, moment) {
        const tree = await readTree(join(root, WORKSPACE));
        if (moment === "begin") before.set(callKey, tree);
        else effects.set(callKey, { before: before.get(callKey) ?? tree, after: tree });
      },
    });
    const observation = await observe({ experiment, root, recorder });
    return { undisturbed: { ...observation, effects }, points: recorder.points };
  });
}

/** Runs the agent on a platform of its own, and kills one of its processes at a durable point. */
export async function runDisturbed(experiment: Experiment, { point, victim }: Strike): Promise<Disturbed> {
  return await withFolder(async (root) => {
    let platform: ChaosPlatform | undefined;
    const trouble = new AbortController();
    const restarted = Promise.withResolvers<void>();
    const kill = async (): Promise<void> => {
      await platform?.kill(victim);
      // The call goes on meanwhile: nobody waits for a victim to come back.
      platform?.restart(victim).then(restarted.resolve, (error: unknown) => trouble.abort(error));
    };
    const recorder = createRecorder({ strike: { point, victim, kill } });
    const signal = AbortSignal.any([experiment.signal, trouble.signal]);
    const observation = await observe({
      experiment: { ...experiment, signal },
      root,
      recorder,
      onPlatform: (started) => (platform = started),
      // Some points come after the run has ended for those who watch it.
      onEnded: () => Promise.race([restarted.promise, sleep(STRIKES_WITHIN_MS, undefined, { signal })]),
    });
    return { ...observation, struck: recorder.struck, openAtStrike: recorder.openAtStrike };
  });
}

const WORKSPACE = "workspace";

/** A folder of this repetition alone, by which everything that belongs to it is known. */
async function withFolder<T>(body: (root: string) => Promise<T>): Promise<T> {
  const root = await realpath(await mkdtemp(join(tmpdir(), "stigmer-chaos-")));
  try {
    return await body(root);
  } finally {
    await rm(root, { recursive: true, force: true, maxRetries: 3 });
  }
}

interface Observe {
  readonly experiment: Experiment;
  readonly root: string;
  readonly recorder: Recorder;
  readonly onPlatform?: (platform: ChaosPlatform) => void;
  /** Waited for between the end of the run and the look at what came of it. */
  readonly onEnded?: () => Promise<void>;
}

async function observe({ experiment, root, recorder, onPlatform, onEnded }: Observe): Promise<Observation> {
  const workspace = join(root, WORKSPACE);
  if (experiment.workspace === undefined) await mkdir(workspace);
  else await cp(experiment.workspace, workspace, { recursive: true, verbatimSymlinks: true });
  const platform = await startPlatform({ ...experiment, root, recorder });
  try {
    onPlatform?.(platform);
    const agent = await experiment.agent.install(platform.client);
    const run = await prepareRun(platform.client, { agent, message: experiment.message, workspaceDir: workspace });
    const startedAt = performance.now();
    await submit(platform, run, experiment.signal);
    const id = run.metadata?.id ?? "";
    await untilEnded(platform.client, id, experiment.signal);
    const durationMs = Math.round(performance.now() - startedAt);
    await onEnded?.();
    const { status } = await platform.client.executions.get(id);
    const tree = await readTree(workspace);
    const [commands, leftovers] = await Promise.all([
      findOrphans(workspace),
      findLeftovers(join(platform.home, "data", "stigmer.db")),
    ]);
    await platform.stop();
    const left = await findOrphans(root);
    const places = { workspace, home: platform.home, execution: id, session: run.spec?.sessionId ?? "" };
    return {
      status: normalStatus(status ?? create(AgentExecutionStatusSchema), places),
      rows: new Map(
        status?.toolCalls.map((call) => [
          call.id,
          { isUnknown: call.status === ToolCallStatus.TOOL_CALL_OUTCOME_UNKNOWN },
        ]),
      ),
      toolCalls: recorder.toolCalls(),
      tree,
      orphans: commands && left && [...new Set([...commands, ...left])],
      leftovers,
      crashes: platform.crashes,
      durationMs,
    };
  } catch (error) {
    if (experiment.signal.aborted) throw experiment.signal.reason;
    throw platform.crashes.length > 0 ? new Error(platform.crashes.join("; "), { cause: error }) : error;
  } finally {
    await platform.stop();
  }
}

/** As a careful caller does: the id is its own, so after a lost answer it looks whether the run is there. */
async function submit({ client, watched }: ChaosPlatform, run: AgentExecution, signal: AbortSignal): Promise<void> {
  try {
    await watched.executions.create(run);
    return;
  } catch (error) {
    if (!isAway(error)) throw error;
  }
  for (const deadline = Date.now() + ENDS_WITHIN_MS; ; await sleep(100, undefined, { signal })) {
    try {
      await client.executions.get(run.metadata?.id ?? "");
      return;
    } catch (error) {
      if (ClientError.is(error) && error.code === "not-found") break;
      if (!isAway(error) || Date.now() > deadline) throw error;
    }
  }
  await client.executions.create(run);
}

function isAway(error: unknown): boolean {
  return ClientError.is(error) && ["unavailable", "cancelled", "internal"].includes(error.code);
}

async function untilEnded(client: StigmerClient, id: string, aborted: AbortSignal): Promise<void> {
  const late = AbortSignal.timeout(ENDS_WITHIN_MS);
  let phase = ExecutionPhase.EXECUTION_PENDING;
  try {
    const signal = AbortSignal.any([aborted, late]);
    for await (const { status } of client.executions.watch(id, { signal, giveUpAfterMs: ENDS_WITHIN_MS })) {
      phase = status.phase;
      if (phase === ExecutionPhase.EXECUTION_WAITING_FOR_APPROVAL || phase === ExecutionPhase.EXECUTION_PAUSED) {
        throw new CliError(
          "failed",
          `The run is ${showPhase(phase)}: a sweep needs a run that nobody has to help along`,
        );
      }
    }
  } catch (error) {
    if (!late.aborted || aborted.aborted) throw error;
    throw new Error(`no end within ${ENDS_WITHIN_MS / 1_000} s: the run is ${showPhase(phase)}`, { cause: error });
  }
}
