import { z } from "zod";

export interface ListOllamaModelsOptions {
  /** Gives up, as when nobody answers. */
  readonly signal?: AbortSignal;
  /** Milliseconds to wait for the whole answer. Default 1000. */
  readonly timeoutMs?: number;
}

const tagsSchema = z.object({ models: z.array(z.object({ name: z.string() })) });

/**
 * The names of the models that an Ollama has, to decide whether to use it; undefined when none answers in time. Whatever
 * else listens there is no Ollama. Never throws.
 */
export async function listOllamaModels(
  baseUrl: string,
  { signal, timeoutMs = 1_000 }: ListOllamaModelsOptions = {},
): Promise<readonly string[] | undefined> {
  const late = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(`${baseUrl.replace(/\/+$/, "")}/api/tags`, {
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    if (!response.ok) {
      await response.body?.cancel();
      return undefined;
    }
    const { models } = tagsSchema.parse(await response.json());
    return models.map(({ name }) => name);
  } catch {
    return undefined;
  }
}

/** Whether an Ollama answers there, as `resolveModel` wants to know. Never throws. */
export async function probeOllama(baseUrl: string, options: ListOllamaModelsOptions = {}): Promise<boolean> {
  return (await listOllamaModels(baseUrl, options)) !== undefined;
}
