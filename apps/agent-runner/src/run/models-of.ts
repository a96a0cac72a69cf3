import {
  type ChooseModelOptions,
  type Config,
  listOllamaModels,
  modelProviders,
  parseModelName,
  probeOllama,
  readConfigFile,
  type ResolvedModel,
} from "@stigmer/config";
import type { ModelConfig } from "@stigmer/agent";
import { RunError } from "./run-error.ts";

/** Milliseconds that an Ollama has to tell its models: a run hangs on the answer, and the machine may be busy. */
const LIST_TIMEOUT_MS = 5_000;

/**
 * The model of a name, or the configured one. Throws `RunError` when there is none. `config.yaml` is read each time, so that a
 * change of it counts from the next run on.
 */
export function modelsOf(
  config: Pick<Config, "homes" | "ollamaBaseUrl"> & {
    resolveModel(options: ChooseModelOptions): ResolvedModel;
  },
): (modelName: string | undefined) => Promise<ModelConfig> {
  return async (modelName) => {
    const file = readConfigFile(config.homes.configFile);
    if (!file.ok) throw new RunError(file.problems.map(({ message }) => message).join("; "));
    const choice = { modelName, file: file.file.llm };
    const withoutOllama = config.resolveModel({ ...choice, ollamaReachable: false });
    const withOllama = config.resolveModel({ ...choice, ollamaReachable: true });
    // Ollama is asked only when that decides: a probe of a port that drops packets takes its time.
    const decides = withoutOllama.provider === "none" && withOllama.provider !== "none";
    const model = decides && (await probeOllama(config.ollamaBaseUrl)) ? withOllama : withoutOllama;
    if (model.provider === "none") throw new RunError(withRestart(model.hint));
    if (model.provider === "ollama" && modelName !== undefined) await refuseUnknown(modelName, model.baseUrl);
    return model;
  };
}

/** A key that is set now does not reach a runner that runs already, and the next run would fail as this one did. */
function withRestart(hint: string): string {
  const restart =
    "Keys are taken when a runner starts: start it again then (on your own machine: `stigmer local restart`).";
  return hint.includes("_API_KEY") ? `${hint} ${restart}` : hint;
}

/**
 * `name:tag` is Ollama's way to call a model, and looks like a provider that doesn't exist. Only Ollama can tell; nobody else
 * would before the first call of the model, which for a sub-agent's comes in the middle of the run. Who writes `ollama:` has told.
 */
async function refuseUnknown(modelName: string, baseUrl: string): Promise<void> {
  const { provider, model = "" } = parseModelName(modelName);
  if (provider !== undefined || !model.includes(":")) return;
  const known = await listOllamaModels(baseUrl, { timeoutMs: LIST_TIMEOUT_MS });
  if (known?.some((name) => name.toLowerCase() === model.toLowerCase())) return;
  const [prefix] = model.split(":");
  const [ollama, remedy] =
    known === undefined
      ? [`no Ollama answers at ${baseUrl} that could have it`, "start Ollama"]
      : [`the Ollama at ${baseUrl} doesn't have it`, `run \`ollama pull ${model}\``];
  throw new RunError(
    `There is no model "${model}": "${prefix}" is no provider (known: ${modelProviders.join(", ")}), and ${ollama}. ` +
      `Name a model as provider:model, or ${remedy}.`,
  );
}
