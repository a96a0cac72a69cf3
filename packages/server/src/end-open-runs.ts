import { AgentExecutionCommandController } from "@stigmer/protos/agentexecution/v1";
import { administratorsEntry } from "./administrator.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { openStore, type StoreChoice } from "./open-store.ts";
import type { ExecutionRecord } from "./store/execution-store.ts";
import type { Store } from "./store/store.ts";

export interface EndOpenRunsOptions {
  /** Where the servers keep everything. Default: SQLite, in `dataDir`. */
  readonly store?: StoreChoice;
  readonly dataDir: string;
  /** Told to whoever waits for one of the runs. */
  readonly reason: string;
  /** Default: says nothing. */
  readonly logger?: Logger;
}

/** Later than any lease ends. */
const NEVER = 8_640_000_000_000_000;
const PAGE = 500;

/**
 * Asks for the end of every run that has not ended, and takes it from whoever has it: the next server to start stores these ends, and
 * tells those who wait, without giving one of the runs to a runner again. For a database that was restored, in which runs would go on
 * from where they were then. No server may use it meanwhile. Answers how many runs there were; may be repeated. Throws `ServerError`.
 */
export async function endOpenRuns({
  dataDir,
  reason,
  logger = silentLogger,
  ...options
}: EndOpenRunsOptions): Promise<number> {
  const store = await openStore(options.store ?? {}, { dataDir, logger, alone: true, onLost: () => {} });
  try {
    // What waits is ended by a server alone; of what is leased a workflow or a runner would be asked.
    await store.queue.expire({ now: NEVER, failure: reason });
    let ended = 0;
    for await (const { id, org } of openRuns(store)) {
      await store.queue.requestCancel(id, reason);
      const method = `${AgentExecutionCommandController.typeName}/${AgentExecutionCommandController.method.cancel.name}`;
      await store.audit.append(administratorsEntry({ org, method, resourceKind: "AgentExecution", resourceId: id }));
      ended += 1;
    }
    return ended;
  } finally {
    await store.close();
  }
}

/** They stay open: whoever starts a server next ends them. */
async function* openRuns({ executions }: Store): AsyncGenerator<ExecutionRecord> {
  let after: ExecutionRecord | undefined;
  do {
    const page = await executions.list({ live: true }, { limit: PAGE, ...(after && { after }) });
    yield* page;
    after = page.length === PAGE ? page.at(-1) : undefined;
  } while (after);
}
