import { listOllamaModels, readConfigFile, type ResolvedModel, resolveHome, resolveModel } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";

/** What the runner needs to talk to a model, as variables. */
export type ModelVariables = Readonly<Record<string, string>>;

export type DemoModel =
  | { readonly kind: "configured"; readonly label: string; readonly variables: ModelVariables }
  /** `hint` says how to get a real one. */
  | { readonly kind: "scripted"; readonly hint: string };

/** The model that is configured and can answer, else the scripted one. */
export async function chooseModel({ env }: Pick<CommandIo, "env">, signal: AbortSignal): Promise<DemoModel> {
  const file = readConfigFile(resolveHome(env).configFile);
  const llm = file.ok ? file.file.llm : undefined;
  const withoutOllama = resolveModel({ env, file: llm, ollamaReachable: false });
  if (withoutOllama.provider === "anthropic" || withoutOllama.provider === "openai") return configured(withoutOllama);
  const local = resolveModel({ env, file: llm, ollamaReachable: true });
  if (local.provider !== "ollama") return { kind: "scripted", hint: local.provider === "none" ? local.hint : "" };
  const models = await listOllamaModels(local.baseUrl, { signal });
  if (models?.includes(local.model)) return configured(local);
  if (withoutOllama.provider === "none" && models === undefined) return { kind: "scripted", hint: withoutOllama.hint };
  const problem = models === undefined ? `Ollama does not answer at ${local.baseUrl}` : `Ollama has no ${local.model}`;
  const advice = models === undefined ? "start it" : `run \`ollama pull ${local.model}\``;
  return { kind: "scripted", hint: `${problem}: ${advice}, or set ANTHROPIC_API_KEY or OPENAI_API_KEY.` };
}

/** What makes the runner talk to a server of the Anthropic protocol on this machine, under a name that nothing is paid for. */
export function scriptedVariables(url: string): ModelVariables {
  const key = "scripted-model";
  return variablesOf({ provider: "anthropic", model: "scripted", apiKey: key, baseUrl: url });
}

type UsableModel = Exclude<ResolvedModel, { provider: "none" }>;

function configured(model: UsableModel): DemoModel {
  return { kind: "configured", label: `${model.provider}'s ${model.model}`, variables: variablesOf(model) };
}

function variablesOf(model: UsableModel): ModelVariables {
  const { provider, model: name, baseUrl, maxTokens, temperature } = model;
  const prefix = provider.toUpperCase();
  return {
    STIGMER_LLM_PROVIDER: provider,
    STIGMER_LLM_MODEL: name,
    ...(provider !== "ollama" && { [`${prefix}_API_KEY`]: model.apiKey }),
    ...(baseUrl !== undefined && { [`${prefix}_BASE_URL`]: baseUrl }),
    ...(maxTokens !== undefined && { STIGMER_LLM_MAX_TOKENS: String(maxTokens) }),
    ...(temperature !== undefined && { STIGMER_LLM_TEMPERATURE: String(temperature) }),
  };
}
