import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@stigmer/client";
import { ConfigError, readBackend, resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { exitCodes } from "../../errors.ts";
import { findFiles } from "../../manifests/find-files.ts";
import { readManifests } from "../../manifests/read-manifests.ts";
import { createPaint } from "../../output/colors.ts";
import { createRunPrinter } from "../../output/run-view/create-run-printer.ts";
import { showsProgress } from "../../output/progress.ts";
import { explain } from "../../server-connection/explain.ts";
import { applyManifests } from "../apply/apply-manifests.ts";
import { withDaemonProgress } from "../local/daemon-progress.ts";
import { exitCodeOf, followRun } from "../run/follow-run.ts";
import { startRun } from "../run/start-run.ts";
import { chooseModel, type DemoModel, type ModelVariables, scriptedVariables } from "./choose-model.ts";
import { type Example, findExample } from "./example.ts";
import { platformEnvironment, type StartPlatform } from "./platform.ts";
import { showOutcome } from "./show-outcome.ts";

export interface DemoOptions {
  /** Default: the local daemon's processes, in a home of their own. */
  readonly startPlatform?: StartPlatform;
  /** Default: the one that comes with the package. */
  readonly example?: Example;
  /** Where the copy of the project and the demo's home go. Default: the system's folder for temporary files. */
  readonly directory?: string;
}

/**
 * Starts everything, lets an agent repair a copy of a small project, shows what it did, and stops everything again. Only
 * the copy stays. Ctrl-C ends it at any moment, in order.
 */
export async function demo(options: DemoOptions, io: CommandIo): Promise<number> {
  const stop = new AbortController();
  const stopListening = io.onSignal(() => {
    if (!stop.signal.aborted) io.stderr.write("\nStopping…\n");
    stop.abort();
  });
  // In the order in which they were opened; closed from the last to the first.
  const opened: (() => Promise<void> | void)[] = [];
  try {
    return await play({ ...options, signal: stop.signal, onOpen: (close) => void opened.push(close) }, io);
  } catch (error) {
    // What was cut off says nothing: it was asked to.
    if (stop.signal.aborted) return exitCodes.interrupted;
    throw error;
  } finally {
    for (const close of opened.toReversed()) {
      try {
        await close();
      } catch (error) {
        io.stderr.write(`While stopping: ${error instanceof Error ? error.message : String(error)}\n`);
      }
    }
    stopListening();
  }
}

interface PlayOptions extends DemoOptions {
  readonly signal: AbortSignal;
  /** Takes what closes something that was opened. */
  readonly onOpen: (close: () => Promise<void> | void) => void;
}

async function play(options: PlayOptions, io: CommandIo): Promise<number> {
  const { signal, onOpen, example = findExample(), directory = tmpdir() } = options;
  const startPlatform = options.startPlatform ?? (await import("./local-platform.ts")).startLocalPlatform;
  const paint = createPaint(io.stdout, io.env);
  const say = (text: string): void => void io.stdout.write(`${text}\n`);

  const copy = await mkdtemp(join(directory, "stigmer-demo-"));
  let hasRun = false;
  onOpen(async () => {
    if (!hasRun) await rm(copy, { recursive: true });
  });
  const workspaceDir = join(copy, "project");
  await cp(example.project, workspaceDir, { recursive: true });
  const home = await mkdtemp(join(directory, "stigmer-demo-home-"));
  onOpen(() => rm(home, { recursive: true, force: true, maxRetries: 3 }));

  const model = await chooseModel(io, signal);
  signal.throwIfAborted();
  const secrets = await openModel(model, { example, onOpen });
  say(introduce(model));
  // Drawn where that is possible, and gone when it is done.
  if (!showsProgress(io)) say(paint("dim", "Starting stigmer-server and agent-runner…"));
  const env = platformEnvironment(io.env, home);
  const homes = resolveHome(env);
  const platform = await withDaemonProgress({ homes, verb: "Starting" }, io, () =>
    startPlatform({ home, env, secrets, signal }),
  );
  onOpen(() => withDaemonProgress({ homes, verb: "Stopping" }, io, () => platform.stop()));
  signal.throwIfAborted();

  const { endpoint } = platform;
  const backend = readBackend({ STIGMER_HOME: home, STIGMER_BACKEND_ENDPOINT: endpoint });
  if (!backend.ok) throw new ConfigError(backend.problems);
  const client = createClient({ endpoint, apiKey: backend.backend.apiKey });
  onOpen(() => client.close());
  try {
    const { manifests } = readManifests(await findFiles(example.directory, io));
    await applyManifests(client, manifests);
    say(paint("dim", `Ready on ${endpoint}. The agent works in ${workspaceDir}.\n`));
    const { message } = example;
    hasRun = true;
    const execution = await startRun(client, { agent: "repo-doctor", message, workspaceDir });
    const executionId = execution.metadata?.id ?? "";
    say(`${paint("bold", `stigmer run repo-doctor "${message}"`)}\n`);
    // The demo is one story: all of it goes to stdout.
    const printer = createRunPrinter({ executionId, json: false }, { ...io, stderr: io.stdout });
    const followed = await followRun({ client, executionId, printer, signal, canApprove: false });
    if (followed.outcome === "stopped") {
      // So that the runner need not be waited for. Without the server there is nothing left to cancel.
      await client.executions.cancel(executionId, "the demo was stopped").catch(() => undefined);
      return exitCodes.interrupted;
    }
    say(await showOutcome({ example, workspaceDir, paint }));
    return exitCodeOf(followed.status.phase);
  } catch (error) {
    throw explain(error, endpoint);
  }
}

/** Starts the scripted model when it is the one; answers what the runner needs. */
async function openModel(
  model: DemoModel,
  { example, onOpen }: Pick<PlayOptions, "onOpen"> & { example: Example },
): Promise<ModelVariables> {
  if (model.kind === "configured") return model.variables;
  const { startScriptedModel } = await import("@stigmer/scripted-model");
  const scripted = await startScriptedModel({ scenario: example.scenario });
  onOpen(() => scripted.close());
  return scriptedVariables(scripted.url);
}

function introduce(model: DemoModel): string {
  if (model.kind === "configured") return `Model: ${model.label}.`;
  return `${model.hint} Until then this replays a scripted model; the tools and the work are real.`;
}
