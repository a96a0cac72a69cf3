// Which of the host's environment variables a command gets to see.

/** How much of the host's environment commands inherit: all but secrets, a short list, or nothing. */
export type InheritEnv = "all" | "minimal" | "none";

/** Those of Stigmer itself and of the services it talks to with its own credentials. */
const withheldPrefixes = [
  "STIGMER_",
  "ANTHROPIC_",
  "OPENAI_",
  "AZURE_OPENAI_",
  "DAYTONA_",
  "TEMPORAL_",
  "REDIS_",
  "LANGSMITH_",
  "LANGCHAIN_",
];

/** Keys of model and tracing providers: `<PROVIDER>_API_KEY`, `_API_TOKEN`, `_ACCESS_TOKEN`, `_AUTH_TOKEN`. */
const providerSecret =
  /^(AI21|ANYSCALE|BRAVE|CEREBRAS|CO|COHERE|DASHSCOPE|DEEPINFRA|DEEPSEEK|FIREWORKS|GEMINI|GOOGLE|GOOGLE_GENERATIVE_AI|GROQ|HF|HUGGINGFACE|HUGGINGFACEHUB|HUGGING_FACE_HUB|MISTRAL|MOONSHOT|NVIDIA|OLLAMA|OPENROUTER|PERPLEXITY|PPLX|REPLICATE|TAVILY|TOGETHER|TOGETHERAI|VOYAGE|VOYAGEAI|XAI|ZHIPUAI)_(API_KEY|API_TOKEN|ACCESS_TOKEN|AUTH_TOKEN|TOKEN)$/;

const minimalNames = new Set(["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM"]);

/** Where the host's shell was says nothing about where a command runs. */
const meaningless = new Set(["PWD", "OLDPWD", "SHLVL", "_"]);

export interface EnvironmentOptions {
  readonly inheritEnv: InheritEnv;
  /** Names that are not inherited either, for example secrets that the caller declared elsewhere. */
  readonly withheld: readonly string[];
  /** What the agent is declared to have. Wins over what is inherited, also where that is withheld. */
  readonly env: Readonly<Record<string, string>>;
}

/** The environment that every command of a sandbox starts from. */
export function commandEnvironment(
  hostEnv: Readonly<Record<string, string | undefined>>,
  options: EnvironmentOptions,
): Record<string, string> {
  const withheld = new Set(options.withheld);
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(hostEnv)) {
    if (value === undefined || meaningless.has(name) || withheld.has(name) || isSecret(name)) continue;
    if (options.inheritEnv === "all" || (options.inheritEnv === "minimal" && isMinimal(name))) result[name] = value;
  }
  // Python's output would else arrive in one piece at the end, or not at all after a time-out.
  return { ...result, PYTHONUNBUFFERED: "1", ...options.env };
}

function isSecret(name: string): boolean {
  const upper = name.toUpperCase();
  return withheldPrefixes.some((prefix) => upper.startsWith(prefix)) || providerSecret.test(upper);
}

function isMinimal(name: string): boolean {
  return minimalNames.has(name) || name.startsWith("LC_");
}
