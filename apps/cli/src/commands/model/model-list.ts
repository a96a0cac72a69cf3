import { modelProviders, type ResolvedModel, resolveModel } from "@stigmer/config";
import type { CommandIo } from "../../command-io.ts";
import { createPaint } from "../../output/colors.ts";
import { formatTable } from "../../output/table.ts";
import { writeLine } from "../../output/write.ts";
import { isKept, withKeptKeys } from "../../keychain/kept-keys.ts";
import { faultOf, modelOf, type ModelSettings, nameOf, originOf, readModelSettings } from "./model-settings.ts";

interface ListedModel {
  readonly name: string;
  readonly usable: boolean;
  /** What makes it usable, or what is missing. */
  readonly reason: string;
  readonly default: boolean;
}

/** Shows which models can be used, why others can't, and which one runs have that name none. */
export async function modelList({ json }: { readonly json?: boolean }, io: CommandIo): Promise<void> {
  const settings = await readModelSettings(withKeptKeys(io.env), "always");
  const model = modelOf(settings);
  const models = modelProviders.flatMap((provider) => modelsOf(provider, model, settings));
  const origin = originOf(settings);
  const decided = model.provider === "none" ? null : { name: nameOf(model), ...origin };
  const hint = faultOf(model, settings) ?? "";
  if (json) return writeLine(io.stdout, JSON.stringify({ default: decided, hint, models }));

  const rows = models.map((each) => [
    each.name,
    each.usable ? "yes" : "no",
    `${each.default ? "the default; " : ""}${each.reason}`,
  ]);
  io.stdout.write(formatTable(["MODEL", "USABLE", ""], rows));
  const paint = createPaint(io.stdout, io.env);
  if (decided && origin) {
    const by = `${origin.provider === "OLLAMA_BASE_URL" ? "an Ollama that answers" : origin.provider}`;
    const from = origin.model === "default" ? "" : origin.model === origin.provider ? "" : ` and ${origin.model}`;
    writeLine(io.stdout, `\nDefault: ${decided.name}, decided by ${by}${from}.`);
  }
  if (hint) writeLine(io.stdout, paint("yellow", `${decided ? "" : "\n"}${hint}`));
}

function modelsOf(
  provider: (typeof modelProviders)[number],
  chosen: ResolvedModel,
  settings: ModelSettings,
): ListedModel[] {
  const own = resolveModel({ ...settings, modelName: `${provider}:`, ollamaReachable: true });
  const isChosen = (name: string): boolean => chosen.provider !== "none" && nameOf(chosen) === name;
  if (own.provider === "none") return [{ name: provider, usable: false, reason: own.hint, default: false }];
  const name = nameOf(own);
  const fault = faultOf(own, settings);
  const where = own.baseUrl ? ` at ${own.baseUrl}` : "";
  const reason =
    fault ??
    (own.provider === "ollama" ? `pulled${where}` : `has a key${isKept(own.apiKey) ? " in the keychain" : ""}${where}`);
  const pulled = (own.provider === "ollama" ? (settings.ollamaModels ?? []) : [])
    .map((model) => `ollama:${model}`)
    .filter((other) => other !== name && other !== `${name}:latest`)
    .map((other) => ({ name: other, usable: true, reason: `pulled${where}`, default: isChosen(other) }));
  return [{ name, usable: fault === undefined, reason, default: isChosen(name) }, ...pulled];
}
