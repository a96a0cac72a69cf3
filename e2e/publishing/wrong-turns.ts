/** A command on which a beginner goes wrong, or one that leads there. */
export interface WrongTurn {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What it answers, with what to do next. */
  readonly says: RegExp;
  /** Default 1. */
  readonly code?: number;
}

/** In their order. One agent is `digest`; the model refuses every key. */
export function wrongTurns(modelUrl: string, takenPort: number): readonly WrongTurn[] {
  const wrongKey = { ANTHROPIC_BASE_URL: modelUrl, ANTHROPIC_API_KEY: "sk-mistyped" };
  return [
    { args: ["aply"], says: /^unknown command 'aply': did you mean apply\? See `stigmer --help`\.$/m, code: 2 },
    { args: ["list", "agents"], says: /^Cannot reach stigmer-server at \S+: run `stigmer local start`/m },
    {
      args: ["model", "test"],
      says: /^No model is configured: set ANTHROPIC_API_KEY or OPENAI_API_KEY, or start Ollama/m,
    },
    {
      args: ["model", "test"],
      env: wrongKey,
      says: /refused the credentials: .*\. Check the API key \(.*ANTHROPIC_API_KEY\)/,
    },
    // Copied from the page as it stands there.
    {
      args: ["local", "start"],
      env: { ANTHROPIC_API_KEY: "…" },
      says: /^Failed to load configuration: ANTHROPIC_API_KEY has a value that can't be used .*: expected a whole key/m,
    },
    {
      args: ["local", "start", "--port", String(takenPort)],
      says: /^Port \d+ on 127\.0\.0\.1 is in use by another program: stop it, or choose another port \(--port, 0 /m,
    },
    {
      args: ["local", "start", "--port", "0"],
      says: /^Runs will fail until there is a model\. .* set ANTHROPIC_API_KEY .* Then `stigmer local restart`\.$/m,
      code: 0,
    },
    { args: ["local", "start"], says: /^A daemon runs already\.$/m, code: 0 },
    { args: ["new", "agent", "digest"], says: /^ {2}stigmer apply -f digest\.yaml$/m, code: 0 },
    { args: ["new", "agent", "digest"], says: /^digest\.yaml is there already: choose another name, or remove it$/m },
    {
      args: ["apply", "-f", "digset.yaml"],
      says: /^digset\.yaml: there is no such file or folder: name one that is there/m,
    },
    {
      args: ["run", "digest", "Hello."],
      says: /^There is no agent "digest": .* add one with `stigmer apply -f FILE`$/m,
    },
    { args: ["apply", "-f", "digest.yaml"], says: /^Agent digest created/m, code: 0 },
    { args: ["run", "digest"], says: /^missing required argument 'message'\. See `stigmer run --help`\.$/m, code: 2 },
    { args: ["run", "digset", "Hello."], says: /^There is no agent "digset": did you mean digest\?$/m },
    {
      args: ["run", "digest", "Hello.", "--workspace", "nowhere"],
      says: /^--workspace nowhere: there is no such directory: make it first$/m,
    },
    {
      args: ["run", "digest", "Hello."],
      says: /No model is configured: set ANTHROPIC_API_KEY .*`stigmer local restart`/,
    },
    { args: ["local", "restart"], env: wrongKey, says: /^Model: anthropic:/m, code: 0 },
    {
      args: ["run", "digest", "Hello."],
      says: /^failed in .* refused the credentials: .*: `stigmer local restart`\.$/m,
    },
    { args: ["local", "stop"], says: /^Stopped/m, code: 0 },
  ];
}
