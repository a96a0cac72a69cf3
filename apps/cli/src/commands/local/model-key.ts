import { defaultModels, type KeyedProvider } from "@stigmer/config";
import { CliError } from "../../errors.ts";
import { promptStreams } from "../../output/prompts.ts";
import type { CommandIo } from "../../command-io.ts";
import { keepKey, type KeptKeys, readKeptKeys } from "../../keychain/kept-keys.ts";
import { keyVariables, type OpenKeychain } from "../../keychain/keychain.ts";
import { openSystemKeychain } from "../../keychain/system-keychain.ts";
import { writeLine } from "../../output/write.ts";
import { faultOf, modelOf, nameOf, OLLAMA_STEPS, readModelSettings } from "../model/model-settings.ts";

export interface ModelKey {
  /** For the runner, in memory alone. */
  readonly secrets: Readonly<Record<string, string>>;
  /** What the person should know about the model, in one line. */
  readonly note: string;
}

/**
 * Finds the model that agents will use. A key comes from the environment, then from the keychain where config.yaml says that it
 * keeps one. When there is none, asks for a key on a terminal; elsewhere it says how to give one, and things start without:
 * everything but runs works.
 */
export async function findModelKey(io: CommandIo, open: OpenKeychain = openSystemKeychain): Promise<ModelKey> {
  const { secrets, problem } = await keysFor(undefined, io, open);
  const settings = await readModelSettings({ ...io.env, ...secrets }, { forModel: undefined });
  const model = modelOf(settings);
  if (model.provider === "none") {
    if (!io.stdin.isTTY || !io.stderr.isTTY) return { secrets, note: lines(problem, withoutModel(model.hint)) };
    if (problem) writeLine(io.stderr, problem);
    return askForKey({ hint: model.hint, open }, io);
  }
  const fault = faultOf(model, settings);
  const from = Object.keys(secrets).length > 0 ? `${Object.keys(secrets).join(" and ")} from the keychain.` : undefined;
  // Ollama is asked anew by each run.
  const note = `Model: ${nameOf(model)}${fault === undefined ? "" : `. Runs will fail: ${fault}`}`;
  return { secrets, note: lines(problem, from, note) };
}

/** The keys of the keychain, where the environment has none for this model; without a name, for the default one. */
export async function keysFor(
  modelName: string | undefined,
  { env }: Pick<CommandIo, "env">,
  open: OpenKeychain,
): Promise<KeptKeys> {
  const own = await readModelSettings(env, "never");
  const isGiven = ["anthropic", "openai"].includes(modelOf(own, modelName).provider);
  return readKeptKeys({ providers: isGiven ? [] : (own.file?.keychain ?? []), open }, env);
}

async function askForKey(
  { hint, open }: { readonly hint: string; readonly open: OpenKeychain },
  io: CommandIo,
): Promise<ModelKey> {
  const { isCancel, password, select } = await import("@clack/prompts");
  const prompt = promptStreams(io);
  const name = await select({
    ...prompt,
    message: "No model is configured. Whose API key do you want to use? (It stays in memory.)",
    options: [
      { value: "ANTHROPIC_API_KEY", label: "Anthropic" },
      { value: "OPENAI_API_KEY", label: "OpenAI" },
      { value: "ollama", label: `Ollama, without a key: ${defaultModels.ollama} on this machine` },
      { value: "", label: "None, go on without" },
    ],
  });
  if (isCancel(name)) throw new CliError("interrupted", "Nothing was started.");
  if (name === "ollama") {
    return { secrets: {}, note: `${OLLAMA_STEPS}: runs use it as soon as it answers, without a restart.` };
  }
  if (name === "") return { secrets: {}, note: withoutModel(hint) };
  const key = await password({ ...prompt, message: `${name}:`, mask: "*" });
  if (isCancel(key)) throw new CliError("interrupted", "Nothing was started.");
  if (key.trim() === "") return { secrets: {}, note: withoutModel(hint) };
  const isKept = await offerKeychain({ name, key: key.trim(), open }, io);
  const note = isKept
    ? `${name} is in the keychain, and taken from there from now on: \`stigmer config key unset\` takes it out.`
    : `${name} is kept in memory until \`stigmer local stop\`.`;
  return { secrets: { [name]: key.trim() }, note };
}

/** Only where there is a keychain: what can't be had is not offered. Answers whether it keeps the key now. */
async function offerKeychain(
  { name, key, open }: { readonly name: string; readonly key: string; readonly open: OpenKeychain },
  io: CommandIo,
): Promise<boolean> {
  const provider: KeyedProvider = name === keyVariables.anthropic ? "anthropic" : "openai";
  const keychain = await open().catch(() => undefined);
  if (keychain === undefined) return false;
  const { confirm, isCancel } = await import("@clack/prompts");
  const answer = await confirm({ ...promptStreams(io), message: "Keep it in the keychain?", initialValue: false });
  if (isCancel(answer)) throw new CliError("interrupted", "Nothing was started.");
  if (!answer) return false;
  try {
    await keepKey({ provider, key, keychain }, io);
    return true;
  } catch (error) {
    // The start goes on with the key in memory.
    if (!CliError.is(error)) throw error;
    writeLine(io.stderr, error.message);
    return false;
  }
}

function lines(...all: readonly (string | undefined)[]): string {
  return all.filter((line) => line !== undefined).join("\n");
}

/** The runner keeps what it was given at its start. */
function withoutModel(hint: string): string {
  return `Runs will fail until there is a model. ${hint} Then \`stigmer local restart\`.`;
}
