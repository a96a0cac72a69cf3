import { secretNames } from "@stigmer/config";

/** What stands for a secret that is set. */
const SET = "set";

/** The variables that choose a model, fit to be kept in a file: no key, and no password in a URL. */
export function modelVariables(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => {
      if (!value?.trim() || !/^(STIGMER_LLM|ANTHROPIC|OPENAI|OLLAMA)_/.test(name)) return [];
      const isSecret = (secretNames as readonly string[]).includes(name);
      return [[name, isSecret ? SET : value.replace(/\/\/[^/]*@/, "//")]];
    }),
  );
}
