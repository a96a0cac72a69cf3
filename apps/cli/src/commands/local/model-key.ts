import { type Homes, probeOllama, readConfigFile, resolveModel } from "@stigmer/config";
import { CliError } from "../../errors.ts";
import type { CommandIo } from "../../command-io.ts";

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
export async function findModelKey(homes: Homes, io: CommandIo): Promise<ModelKey> {
  const file = readConfigFile(homes.configFile);
  if (!file.ok) throw new CliError("failed", file.problems.map(({ message }) => message).join("\n"));
  const resolve = (ollamaReachable: boolean): ReturnType<typeof resolveModel> =>
    resolveModel({ env: io.env, file: file.file.llm, ollamaReachable });
  let model = resolve(false);
  if (model.provider === "none" && (await probeOllama(io.env["OLLAMA_BASE_URL"] || "http://localhost:11434")))
    model = resolve(true);
  if (model.provider !== "none") return { secrets: {}, note: `Model: ${model.provider}:${model.model}` };
  if (!io.stdin.isTTY || !io.stderr.isTTY) return { secrets: {}, note: withoutModel(model.hint) };
  return askForKey(model.hint, io);
}

async function askForKey(hint: string, io: CommandIo): Promise<ModelKey> {
  const { isCancel, password, select } = await import("@clack/prompts");
  const prompt = { input: io.stdin, output: io.stderr } as { input: NodeJS.ReadStream; output: NodeJS.WriteStream };
  const name = await select({
    ...prompt,
    message: "No model is configured. Whose API key do you want to use? (It stays in memory.)",
    options: [
      { value: "ANTHROPIC_API_KEY", label: "Anthropic" },
      { value: "OPENAI_API_KEY", label: "OpenAI" },
      { value: "", label: "None, go on without" },
    ],
  });
  if (isCancel(name)) throw new CliError("interrupted", "Nothing was started.");
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
