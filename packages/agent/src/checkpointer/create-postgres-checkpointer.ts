import type { BaseCheckpointSaver } from "@langchain/langgraph-checkpoint";
import { AgentError } from "../errors.ts";

export interface PostgresCheckpointerOptions {
  /** `postgres://user:password@host:port/database`, with `?sslmode=…` and the like as libpq knows them. */
  readonly url: string;
  /** The schema that holds the tables; made when it isn't there. Letters, digits and `_`. Default `public`. */
  readonly schema?: string;
  /**
   * How many of a conversation's latest checkpoints are kept; a run goes on from the last one. More are for looking
   * back. `Infinity` keeps all. Default 4.
   */
  readonly keep?: number;
}

/** A LangGraph checkpointer in a Postgres database, for runners on many machines. */
export interface PostgresCheckpointer extends BaseCheckpointSaver {
  /**
   * As `put`, of a checkpoint that follows the latest one of its graph. Throws `AgentError` `checkpoint-conflict` when that is not so
   * (any more), and stores nothing: a process that was taken for dead and wakes up takes nothing away from who went on for it. So agents
   * put theirs.
   */
  putNext: BaseCheckpointSaver["put"];
  /** Closes the connections, after the queries under way. Using the checkpointer afterwards throws. Safe to call twice. */
  close(): Promise<void>;
}

/**
 * Connects, and makes the tables that are missing. Needs the packages `@langchain/langgraph-checkpoint-postgres` and `pg`,
 * which are not installed with this one. A server that goes away for less than half a minute is waited for. Throws
 * `AgentError` `checkpoint`, at once when the server is away from the start; no message shows the password.
 */
export async function createPostgresCheckpointer(options: PostgresCheckpointerOptions): Promise<PostgresCheckpointer> {
  const { openPostgres } = await import("./postgres-saver.ts").catch((cause: unknown) => {
    throw whyNotLoaded(cause);
  });
  return openPostgres(options);
}

function whyNotLoaded(cause: unknown): unknown {
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined;
  if (code !== "ERR_MODULE_NOT_FOUND") return cause;
  return new AgentError(
    "checkpoint",
    "Cannot keep checkpoints in Postgres: its packages are not installed. Run `npm install @langchain/langgraph-checkpoint-postgres pg`.",
    { cause },
  );
}
