import {
  defaultModels,
  listOllamaModels,
  type LlmSection,
  type ModelOrigin,
  originOfModel,
  readConfigFile,
  type ResolvedModel,
  resolveHome,
  resolveModel,
} from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { CliError } from "../../errors.ts";

export type UsableModel = Exclude<ResolvedModel, { provider: "none" }>;

/** All that decides about models on this machine. */
export interface ModelSettings {
  readonly env: CommandIo["env"];
  readonly file: LlmSection | undefined;
  /** Where Ollama is looked for. */
  readonly ollamaUrl: string;
  /** What it has; undefined when none answers, or it was not asked. */
  readonly ollamaModels: readonly string[] | undefined;
}

/** Ollama is asked always, or only when it decides about a model: a port that drops packets takes its time. */
export type AskOllama = "always" | "never" | { readonly forModel: string | undefined };

export async function readModelSettings(env: CommandIo["env"], ask: AskOllama): Promise<ModelSettings> {
  const read = readConfigFile(resolveHome(env).configFile);
  if (!read.ok) throw new CliError("failed", read.problems.map(({ message }) => message).join("\n"));
  const file = read.file.llm;
  const ollama = resolveModel({ env, file, ollamaReachable: true, modelName: "ollama:" });
  const ollamaUrl = ollama.provider === "ollama" ? ollama.baseUrl : "";
  const isNeeded =
    ask === "always" ||
    (ask !== "never" &&
      ["none", "ollama"].includes(
        resolveModel({ env, file, ollamaReachable: false, modelName: ask.forModel }).provider,
      ));
  return { env, file, ollamaUrl, ollamaModels: isNeeded ? await listOllamaModels(ollamaUrl) : undefined };
}

/** The model of a name, or the default one, as a run would find it. */
export function modelOf({ ollamaModels, ...settings }: ModelSettings, modelName?: string): ResolvedModel {
  const resolved = resolveModel({ ...settings, modelName, ollamaReachable: false });
  if (resolved.provider !== "none" || ollamaModels === undefined) return resolved;
  return resolveModel({ ...settings, modelName, ollamaReachable: true });
}

/** What decided about the default model. */
export function originOf({ ollamaModels, ...settings }: ModelSettings): ModelOrigin | undefined {
  return originOfModel({ ...settings, ollamaReachable: ollamaModels !== undefined });
}

/** Why a model can't be used as it is, with what to do; undefined when nothing is known against it. */
export function faultOf(model: ResolvedModel, { ollamaModels, ollamaUrl }: ModelSettings): string | undefined {
  if (model.provider === "none") return model.hint;
  if (model.provider !== "ollama") return undefined;
  if (ollamaModels === undefined) {
    return `Ollama does not answer at ${ollamaUrl}: start it (https://ollama.com), or set OLLAMA_BASE_URL.`;
  }
  if (hasModel(ollamaModels, model.model)) return undefined;
  const [other] = ollamaModels;
  const instead = other ? `, or \`stigmer config set llm.model ollama:${other}\`` : "";
  return `Ollama has no ${model.model}: run \`ollama pull ${model.model}\`${instead}.`;
}

/** Ollama's names have a tag, which may be left out where it is `latest`. */
function hasModel(models: readonly string[], name: string): boolean {
  const wanted = name.toLowerCase();
  return models.some((model) => [wanted, `${wanted}:latest`].includes(model.toLowerCase()));
}

export const nameOf = ({ provider, model }: Pick<UsableModel, "provider" | "model">): string => `${provider}:${model}`;

/** How to go on without a key. */
export const OLLAMA_STEPS: string = `Install Ollama (https://ollama.com/download), start it, and run \`ollama pull ${defaultModels.ollama}\``;
