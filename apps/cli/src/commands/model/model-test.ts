import { resolveHome } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { findDaemon } from "../../daemon/find-daemon.ts";
import { CliError, exitCodes } from "../../errors.ts";
import type { OpenKeychain } from "../../keychain/keychain.ts";
import { openSystemKeychain } from "../../keychain/system-keychain.ts";
import { formatDuration } from "../../output/durations.ts";
import { writeLine } from "../../output/write.ts";
import { keysFor } from "../local/model-key.ts";
import { faultOf, modelOf, nameOf, readModelSettings, type UsableModel } from "./model-settings.ts";

export interface ModelTestOptions {
  /** Default: the model of runs that name none. */
  readonly name?: string;
  readonly json?: boolean;
}

const ANSWERS_WITHIN_MS = 60_000;

/** Makes one small real call, and tells how long it took or what is wrong. */
export async function modelTest(
  { name, json }: ModelTestOptions,
  io: CommandIo,
  open: OpenKeychain = openSystemKeychain,
): Promise<number> {
  const { secrets, problem } = await keysFor(name, io, open);
  const settings = await readModelSettings({ ...io.env, ...secrets }, { forModel: name });
  const model = modelOf(settings, name);
  const fault = faultOf(model, settings);
  if (model.provider === "none") throw new CliError("failed", problem ?? `${model.hint}${await ofDaemon(io)}`);
  const told = nameOf(model);
  if (!json && io.stderr.isTTY) writeLine(io.stderr, `Asking ${told}…`);
  const result = fault === undefined ? await ask(model, io) : { ok: false as const, error: fault };
  if (json) writeLine(io.stdout, JSON.stringify({ name: told, ...result }));
  else if (result.ok) writeLine(io.stdout, `${told} answered in ${formatDuration(result.latencyMs)}.`);
  else writeLine(io.stderr, result.error);
  return result.ok ? 0 : exitCodes.failed;
}

type Outcome = { readonly ok: true; readonly latencyMs: number } | { readonly ok: false; readonly error: string };

async function ask(model: UsableModel, io: CommandIo): Promise<Outcome> {
  const { AgentError, testModel } = await import("@stigmer/agent");
  const stop = new AbortController();
  const stopListening = io.onSignal(() => stop.abort());
  const late = AbortSignal.timeout(ANSWERS_WITHIN_MS);
  try {
    const { latencyMs } = await testModel(model, { signal: AbortSignal.any([stop.signal, late]) });
    return { ok: true, latencyMs };
  } catch (error) {
    if (stop.signal.aborted) throw new CliError("interrupted", "Interrupted.", { cause: error });
    if (late.aborted)
      return { ok: false, error: `${nameOf(model)} did not answer within ${ANSWERS_WITHIN_MS / 1000} s.` };
    if (AgentError.is(error)) return { ok: false, error: error.message };
    throw error;
  } finally {
    stopListening();
  }
}

/** Who typed a key for the daemon will look for it here. */
async function ofDaemon(io: CommandIo): Promise<string> {
  const daemon = await findDaemon(resolveHome(io.env)).catch(() => undefined);
  return daemon ? " (A key that the daemon was given at its start is the daemon's alone.)" : "";
}
