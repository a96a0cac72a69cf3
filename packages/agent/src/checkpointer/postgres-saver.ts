// Loaded by createPostgresCheckpointer alone: it needs packages that not everybody has.
import type { RunnableConfig } from "@langchain/core/runnables";
import type {
  ChannelVersions,
  Checkpoint,
  CheckpointListOptions,
  CheckpointMetadata,
  CheckpointTuple,
  PendingWrite,
} from "@langchain/langgraph-checkpoint";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import pg from "pg";
import { AgentError } from "../errors.ts";
import type { PostgresCheckpointer, PostgresCheckpointerOptions } from "./create-postgres-checkpointer.ts";
import { backgroundThreadsOf } from "../sub-agents/background-place.ts";
import { refuseBackwards } from "./checkpoint-conflict.ts";
import { putNext } from "./postgres-next.ts";
import { createPruning, type Pruning } from "./postgres-pruning.ts";
import { placeOf, type PostgresPlace, troubleAt, withPatience } from "./postgres-trouble.ts";

const patienceMs = 30_000;

/**
 * A process that says nothing for so long amid a transaction stands still, or its machine is gone: Postgres lets go of what it holds there, so
 * that whoever goes on with the conversation need not wait for it. If it wakes up, it does its transaction anew. Shorter than a lease.
 */
const idleInTransactionMs = 5_000;

/** Any number that is ours: whoever sets the tables up holds this lock of the database. */
const setupLock = 5_834_017_202_611;

/** See `createPostgresCheckpointer`. */
export async function openPostgres({
  url,
  schema = "public",
  keep = 4,
}: PostgresCheckpointerOptions): Promise<PostgresCheckpointer> {
  const place = placeOf(url);
  if (!/^[a-z_]\w*$/i.test(schema)) {
    throw new AgentError("checkpoint", `The schema "${schema}" can't be used: its name needs letters, digits and "_".`);
  }
  const pool = new pg.Pool({
    connectionString: url,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    idle_in_transaction_session_timeout: idleInTransactionMs,
  });
  // A connection that breaks fails its query, if it has one; that nobody listens beside that would end the process.
  pool.on("error", () => {});
  pool.on("connect", (client) => client.on("error", () => {}));
  const saver = new PatientSaver({ pool, place, schema, keep });
  try {
    await saver.setup();
    return saver;
  } catch (cause) {
    await pool.end();
    throw troubleAt(place, cause);
  }
}

interface PatientSaverOptions {
  readonly pool: pg.Pool;
  readonly place: PostgresPlace;
  readonly schema: string;
  readonly keep: number;
}

/** LangGraph's checkpointer, which deletes what no run needs, waits for a database that is away, and says what is wrong. */
class PatientSaver extends PostgresSaver implements PostgresCheckpointer {
  readonly #pool: pg.Pool;
  readonly #place: PostgresPlace;
  readonly #schema: string;
  readonly #pruning: Pruning;

  constructor({ pool, place, schema, keep }: PatientSaverOptions) {
    super(pool, undefined, { schema });
    this.#pool = pool;
    this.#place = place;
    this.#schema = schema;
    this.#pruning = createPruning(pool, { schema, keep });
  }

  /** One process at a time: LangGraph's migrations fail when two make the same table. */
  override async setup(): Promise<void> {
    const client = await this.#pool.connect();
    try {
      await client.query("SELECT pg_advisory_lock($1)", [setupLock]);
      await super.setup();
    } finally {
      // The lock ends with its connection.
      client.release(true);
    }
  }

  override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    return this.#patiently(() => super.getTuple(config));
  }

  override async *list(config: RunnableConfig, options?: CheckpointListOptions): AsyncGenerator<CheckpointTuple> {
    try {
      yield* super.list(config, options);
    } catch (cause) {
      throw troubleAt(this.#place, cause);
    }
  }

  override async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const stored = await this.#patiently(() => super.put(config, checkpoint, metadata, newVersions));
    await this.#prune(stored);
    return stored;
  }

  async putNext(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const {
      thread_id: threadId,
      checkpoint_ns: namespace = "",
      checkpoint_id: before = "",
    } = config.configurable ?? {};
    const { id } = checkpoint;
    // LangGraph says none in both ways.
    const parentId = before === "" ? undefined : String(before);
    refuseBackwards({ threadId, namespace, id, parentId });
    // oxlint-disable no-underscore-dangle -- LangGraph's names
    const next = {
      threadId,
      namespace,
      id,
      parentId,
      checkpoint: this._dumpCheckpoint(checkpoint),
      metadata: (await this._dumpMetadata(metadata)) as object,
      blobs: await this._dumpBlobs(threadId, namespace, checkpoint.channel_values, newVersions),
    };
    // oxlint-enable no-underscore-dangle
    await this.#patiently(() => putNext(this.#pool, this.#schema, next));
    const stored = { configurable: { thread_id: threadId, checkpoint_ns: namespace, checkpoint_id: id } };
    await this.#prune(stored);
    return stored;
  }

  async #prune({ configurable: put = {} }: RunnableConfig): Promise<void> {
    const { thread_id: thread, checkpoint_ns: namespace, checkpoint_id: newest } = put;
    await this.#patiently(() => this.#pruning.afterPut({ thread, namespace, newest }));
  }

  override async putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string): Promise<void> {
    return this.#patiently(() => super.putWrites(config, writes, taskId));
  }

  override async deleteThread(threadId: string): Promise<void> {
    const below = await this.#patiently(() => this.#backgroundThreads(threadId));
    for (const each of [...below, threadId]) {
      this.#pruning.forget(each);
      await this.#patiently(() => super.deleteThread(each));
    }
  }

  /** Background tasks have threads of their own. */
  async #backgroundThreads(threadId: string): Promise<string[]> {
    const { rows } = await this.#pool.query<{ thread_id: string }>(
      `SELECT DISTINCT thread_id FROM "${this.#schema}".checkpoints WHERE starts_with(thread_id, $1)`,
      [backgroundThreadsOf(threadId)],
    );
    return rows.map((row) => row.thread_id);
  }

  override async end(): Promise<void> {
    return this.close();
  }

  async close(): Promise<void> {
    if (!this.#pool.ending) await this.#pool.end();
  }

  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await withPatience(work, { patienceMs });
    } catch (cause) {
      throw troubleAt(this.#place, cause);
    }
  }
}
