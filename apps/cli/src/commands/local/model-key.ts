import { defaultModels } from "@stigmer/config";
import { CliError } from "../../errors.ts";
import { promptStreams } from "../../output/prompts.ts";
import type { CommandIo } from "../../command-io.ts";
import { faultOf, modelOf, nameOf, OLLAMA_STEPS, readModelSettings } from "../model/model-settings.ts";

export interface ModelKey {
  /** For the runner, in memory alone. */
  readonly secrets: Readonly<Record<string, string>>;
  /** What the person should know about the model, in one line. */
  readonly note: string;
}

/**
 * Finds the model that agents will use. When there is none, asks for a key on a terminal; elsewhere it says how to give
 * one, and things start without: everything but runs works.
 */
export async function findModelKey(io: CommandIo): Promise<ModelKey> {
  const settings = await readModelSettings(io.env, { forModel: undefined });
  const model = modelOf(settings);
  if (model.provider === "none") {
    if (!io.stdin.isTTY || !io.stderr.isTTY) return { secrets: {}, note: withoutModel(model.hint) };
    return askForKey(model.hint, io);
  }
  const fault = faultOf(model, settings);
  // Ollama is asked anew by each run.
  return { secrets: {}, note: `Model: ${nameOf(model)}${fault === undefined ? "" : `. Runs will fail: ${fault}`}` };
}

async function askForKey(hint: string, io: CommandIo): Promise<ModelKey> {
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
  return key.trim() === ""
    ? { secrets: {}, note: withoutModel(hint) }
    : { secrets: { [name]: key.trim() }, note: `${name} is kept in memory until \`stigmer local stop\`.` };
}

/** The runner keeps what it was given at its start. */
function withoutModel(hint: string): string {
  return `Runs will fail until there is a model. ${hint} Then \`stigmer local restart\`.`;
}
