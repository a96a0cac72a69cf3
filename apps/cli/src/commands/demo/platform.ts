import type { CommandIo } from "../../command-io.ts";
import type { ModelVariables } from "./choose-model.ts";

/** A server and a runner that belong to one demo. */
export interface Platform {
  /** `host:port` of the server. */
  readonly endpoint: string;
  /** Ends both; resolves when no process is left. Idempotent. */
  stop(): Promise<void>;
}

export interface PlatformOptions {
  /** Where they keep everything. */
  readonly home: string;
  readonly env: CommandIo["env"];
  /** For the runner alone. */
  readonly secrets: ModelVariables;
  /** Gives up starting; what has started is ended. */
  readonly signal: AbortSignal;
}

export type StartPlatform = (options: PlatformOptions) => Promise<Platform>;

/**
 * The environment of the demo's processes: the user's, less what would lead them to another server, home, engine or
 * model than the demo's own.
 */
export function platformEnvironment(env: CommandIo["env"], home: string): Record<string, string | undefined> {
  const foreign =
    /^(STIGMER_(HOME|DATA_DIR|BACKEND_ENDPOINT|API_KEY|ENGINE|DATABASE_URL|CHECKPOINT_URL|LLM_\w+)|MODE|SANDBOX_ROOT_DIR|(TEMPORAL|REDIS|ANTHROPIC|OPENAI|OLLAMA)_\w+)$/;
  return { ...Object.fromEntries(Object.entries(env).filter(([name]) => !foreign.test(name))), STIGMER_HOME: home };
}
