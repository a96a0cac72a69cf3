import type { DatabaseSync } from "node:sqlite";
import type { RunnableConfig } from "@langchain/core/runnables";
import {
  BaseCheckpointSaver,
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointPendingWrite,
  type CheckpointTuple,
  maxChannelVersion,
  type PendingWrite,
  TASKS,
  WRITES_IDX_MAP,
} from "@langchain/langgraph-checkpoint";
import { AgentError } from "../errors.ts";
import { backgroundThreadsOf } from "../sub-agents/background-place.ts";
import { createGrowingLists, type GrowingLists } from "./growing-lists.ts";
import { transaction } from "./database.ts";
import { restoreSends, shareSends, sharedSendsPrefix } from "./shared-sends.ts";
import { prepareStatements, type Statements } from "./statements.ts";
import { createWriteAheadLog, type WriteAheadLog } from "./write-ahead-log.ts";

interface Serialised {
  readonly type: string;
  readonly value: Uint8Array;
}

interface NewValue extends Serialised {
  readonly channel: string;
  /** A step gives many channels no value: they are the rule, and have to be short. */
  readonly isUndefined?: boolean;
  readonly base: number | undefined;
}

/** Where a channel's value is: a row of channel_values, or here, as JSON; nothing is undefined. */
type Place = number | readonly [json?: string];
type Places = Readonly<Record<string, Place>>;

/** A value of so few bytes is kept in each checkpoint that has it: a row of its own is more, and one more page that is touched. */
const MOST_BYTES_IN_PLACE = 64;

interface CheckpointRow {
  readonly thread_id: string;
  readonly checkpoint_ns: string;
  readonly checkpoint_id: string;
  readonly parent_checkpoint_id: string | null;
  readonly type: string;
  readonly checkpoint: Uint8Array;
  readonly metadata_type: string;
  readonly metadata: Uint8Array;
  /** JSON of `Places`. */
  readonly channels: string;
}

/** Checkpoints on `node:sqlite`. Made by `createSqliteCheckpointer`. */
export class SqliteSaver extends BaseCheckpointSaver {
  readonly #database: DatabaseSync;
  readonly #sql: Statements;
  readonly #keep: number;
  readonly #log: WriteAheadLog;
  readonly #lists: GrowingLists = createGrowingLists();

  constructor(database: DatabaseSync, options: { keep: number }) {
    super();
    this.#database = database;
    this.#sql = prepareStatements(database);
    this.#log = createWriteAheadLog(database);
    this.#keep = Math.max(1, options.keep);
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
    this.#log.close();
  }

  async flush(): Promise<void> {
    await this.#log.sync();
  }

  override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const { threadId, namespace, checkpointId } = addressOf(config);
    if (threadId === undefined) return undefined;
    const row =
      checkpointId === undefined
        ? this.#sql.latest.get(threadId, namespace)
        : this.#sql.one.get(threadId, namespace, checkpointId);
    return row === undefined ? undefined : this.#readTuple(row as unknown as CheckpointRow);
  }

  override async *list(config: RunnableConfig, options: CheckpointListOptions = {}): AsyncGenerator<CheckpointTuple> {
    const { threadId, checkpointId } = addressOf(config);
    const rows = this.#sql.all.all({
      thread: threadId ?? null,
      ns: config.configurable?.["checkpoint_ns"] ?? null,
      id: checkpointId ?? null,
      before: (options.before === undefined ? undefined : addressOf(options.before).checkpointId) ?? null,
    }) as unknown as CheckpointRow[];
    const filter = Object.entries(options.filter ?? {});
    let left = options.limit ?? Infinity;
    for (const row of rows) {
      if (left <= 0) return;
      const metadata = (await this.serde.loadsTyped(row.metadata_type, row.metadata)) as Record<string, unknown>;
      if (!filter.every(([key, value]) => metadata[key] === value)) continue;
      left -= 1;
      yield await this.#readTuple(row);
    }
  }

  override async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const { threadId, namespace, checkpointId: parentId } = addressOf(config);
    if (threadId === undefined) throw missing("thread_id", "put a checkpoint");
    const { channel_values: values, ...head } = checkpoint;
    const parent = parentId === undefined ? undefined : this.#channelsOf(threadId, namespace, parentId);
    const carried = Object.entries(parent ?? {}).filter(([channel]) => channel in values && !(channel in newVersions));
    const isNew = (channel: string): boolean =>
      channel in newVersions || (parentId !== undefined && parent?.[channel] === undefined);
    const key = (channel: string): string => JSON.stringify([threadId, namespace, channel]);
    const [storedHead, storedMetadata, newValues] = await Promise.all([
      dumpPlain({ ...head, channel_values: {} }),
      this.#dump(metadata),
      Promise.all(
        Object.keys(values)
          .filter(isNew)
          .map(async (channel): Promise<NewValue> => {
            const sends = channel === TASKS ? shareSends(values[channel], values) : undefined;
            if (sends !== undefined) {
              const { type, value } = await this.#dump(sends);
              return { channel, base: undefined, type: sharedSendsPrefix + type, value };
            }
            const { base, value } = this.#lists.plan(key(channel), values[channel]);
            return { channel, base, isUndefined: value === undefined, ...(await this.#dump(value)) };
          }),
      ),
    ]);
    const places = transaction(this.#database, () => {
      // Another process may have deleted the thread meanwhile: then nothing is there to append to.
      if (newValues.some(({ base }) => base !== undefined && this.#sql.value.get(base) === undefined)) return undefined;
      const places = this.#insertValues(threadId, namespace, newValues);
      const channels = [...carried, ...newValues.map(({ channel }, index) => [channel, places[index]])];
      const replaced = this.#sql.channelsOf.get(threadId, namespace, checkpoint.id);
      this.#sql.insertCheckpoint.run(
        threadId,
        namespace,
        checkpoint.id,
        parentId ?? null,
        storedHead.type,
        storedHead.value,
        storedMetadata.type,
        storedMetadata.value,
        JSON.stringify(Object.fromEntries(channels)),
      );
      if (replaced !== undefined) {
        this.#sql.dropReplaced.run({ thread: threadId, ns: namespace, channels: String(replaced["channels"]) });
      }
      this.#prune(threadId, namespace, checkpoint.id);
      return places;
    });
    if (places === undefined) {
      this.#lists.forget(threadPrefix(threadId));
      return this.put(config, checkpoint, metadata, newVersions);
    }
    newValues.forEach(({ channel, base, type, value }, index) => {
      const id = places[index];
      // A list that has no row, or is put together when it is read, is none to append to.
      const isRow = typeof id === "number" && !type.startsWith(sharedSendsPrefix);
      const row = { id: isRow ? id : 0, base, bytes: value.byteLength };
      this.#lists.stored(key(channel), isRow ? values[channel] : undefined, row);
    });
    return { configurable: { thread_id: threadId, checkpoint_ns: namespace, checkpoint_id: checkpoint.id } };
  }

  override async putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string): Promise<void> {
    const { threadId, namespace, checkpointId } = addressOf(config);
    if (threadId === undefined) throw missing("thread_id", "put writes");
    if (checkpointId === undefined) throw missing("checkpoint_id", "put writes");
    // A task's results are written once; its error, interrupt and the like replace what was there.
    const special = writes.every(([channel]) => channel in WRITES_IDX_MAP);
    const statement = special ? this.#sql.replaceWrite : this.#sql.insertWrite;
    const stored = await Promise.all(writes.map(([, value]) => this.#dump(value)));
    transaction(this.#database, () => {
      writes.forEach(([channel], index) => {
        const { type, value } = stored[index] as Serialised;
        const position = WRITES_IDX_MAP[channel] ?? index;
        statement.run(threadId, namespace, checkpointId, taskId, position, channel, type, value);
      });
    });
  }

  override async deleteThread(threadId: string): Promise<void> {
    const below = backgroundThreadsOf(threadId);
    this.#lists.forget(threadPrefix(threadId));
    this.#lists.forget(JSON.stringify([below]).slice(0, -2));
    transaction(this.#database, () => {
      for (const statement of this.#sql.deleteThread)
        statement.run({ thread: threadId, below, above: `${below}\u{10ffff}` });
    });
  }

  #insertValues(threadId: string, namespace: string, values: readonly NewValue[]): Place[] {
    // Never one that was used before: another process may go on appending to a row that this one has deleted.
    let id = Math.max(Number(this.#sql.newestValue.get()?.["id"] ?? 0), idOfNow());
    return values.map(({ base, type, value, isUndefined = false }): Place => {
      if (isUndefined) return [];
      if (base === undefined && type === "json" && value.byteLength <= MOST_BYTES_IN_PLACE) {
        return [new TextDecoder().decode(value)];
      }
      id += 1;
      this.#sql.insertValue.run(id, threadId, namespace, base ?? null, type, value);
      return id;
    });
  }

  /** Deletes what no run needs any more, a few checkpoints at a time. */
  #prune(threadId: string, namespace: string, newest: string): void {
    if (this.#keep === Infinity) return;
    if (namespace === "" && this.#sql.hasSubGraphs.get(threadId) !== undefined) {
      for (const statement of this.#sql.dropFinished) statement.run({ thread: threadId, next: newest });
    }
    const surplus = this.#sql.surplus.get({ thread: threadId, ns: namespace, keep: this.#keep });
    if (surplus === undefined || Number(surplus["total"]) < 2 * this.#keep) return;
    for (const statement of this.#sql.prune) {
      statement.run({ thread: threadId, ns: namespace, last: surplus["checkpoint_id"] ?? null });
    }
  }

  #channelsOf(threadId: string, namespace: string, checkpointId: string): Places | undefined {
    const row = this.#sql.channelsOf.get(threadId, namespace, checkpointId);
    return row === undefined ? undefined : (JSON.parse(String(row["channels"])) as Places);
  }

  async #readTuple(row: CheckpointRow): Promise<CheckpointTuple> {
    const { thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id: parentId } = row;
    const places = JSON.parse(row.channels) as Places;
    const [checkpoint, metadata, pendingWrites, ...values] = await Promise.all([
      this.serde.loadsTyped(row.type, row.checkpoint) as Promise<Checkpoint>,
      this.serde.loadsTyped(row.metadata_type, row.metadata) as Promise<CheckpointMetadata>,
      this.#readWrites(thread_id, checkpoint_ns, checkpoint_id),
      ...Object.values(places).map((place) => this.#readValue(place)),
    ]);
    const channels = Object.fromEntries(Object.keys(places).map((channel, index) => [channel, values[index]]));
    const { [TASKS]: sends } = channels;
    if (sends instanceof SharedSends) channels[TASKS] = restoreSends(sends.value, channels);
    checkpoint.channel_values = channels;
    if (checkpoint.v < 4 && parentId !== null) await this.#movePendingSends(checkpoint, row, parentId);
    const at = (id: string): RunnableConfig => ({ configurable: { thread_id, checkpoint_ns, checkpoint_id: id } });
    return {
      config: at(checkpoint_id),
      checkpoint,
      metadata,
      pendingWrites,
      ...(parentId === null ? {} : { parentConfig: at(parentId) }),
    };
  }

  async #readValue(place: Place): Promise<unknown> {
    if (typeof place !== "number") return place[0] === undefined ? undefined : this.serde.loadsTyped("json", place[0]);
    const appended: unknown[][] = [];
    for (let next = place; ;) {
      const row = this.#sql.value.get(next);
      if (row === undefined) {
        const message = `The checkpoint database lacks a value that it refers to (row ${next}). Start a new session.`;
        throw new AgentError("checkpoint", message);
      }
      const type = String(row["type"]);
      const bytes = row["value"] as Uint8Array;
      if (type.startsWith(sharedSendsPrefix)) {
        return new SharedSends(await this.serde.loadsTyped(type.slice(sharedSendsPrefix.length), bytes));
      }
      const value: unknown = await this.serde.loadsTyped(type, bytes);
      if (row["base"] === null) return appended.length === 0 ? value : [value, ...appended.toReversed()].flat();
      appended.push(value as unknown[]);
      next = Number(row["base"]);
    }
  }

  async #readWrites(threadId: string, namespace: string, checkpointId: string): Promise<CheckpointPendingWrite[]> {
    return Promise.all(
      this.#sql.writes
        .all(threadId, namespace, checkpointId)
        .map(async (row): Promise<CheckpointPendingWrite> => [
          String(row["task_id"]),
          String(row["channel"]),
          await this.serde.loadsTyped(String(row["type"]), row["value"] as Uint8Array),
        ]),
    );
  }

  /** Checkpoints of LangGraph's formats before 4 keep their sends with the parent's writes. */
  async #movePendingSends(checkpoint: Checkpoint, row: CheckpointRow, parentId: string): Promise<void> {
    const writes = await this.#readWrites(row.thread_id, row.checkpoint_ns, parentId);
    checkpoint.channel_values[TASKS] = writes.filter(([, channel]) => channel === TASKS).map(([, , value]) => value);
    const versions = Object.values(checkpoint.channel_versions);
    checkpoint.channel_versions[TASKS] =
      versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
  }

  async #dump(value: unknown): Promise<Serialised> {
    const [type, bytes] = await this.serde.dumpsTyped(value);
    return { type, value: bytes };
  }
}

/** Ids grow with the time: milliseconds since 2025, each with a range of its own, in which a process begins anywhere. */
function idOfNow(): number {
  return (Date.now() - Date.UTC(2025)) * 4096 + Math.floor(Math.random() * 4096);
}

/** Sends that wait for the channels which they share values with. */
class SharedSends {
  readonly value: unknown;

  constructor(value: unknown) {
    this.value = value;
  }
}

/** The head of a checkpoint is names and numbers: nothing in it needs LangGraph's own serialiser, which walks it twice. */
function dumpPlain(value: unknown): Serialised {
  return { type: "json", value: new TextEncoder().encode(JSON.stringify(value)) };
}

interface Address {
  readonly threadId: string | undefined;
  readonly namespace: string;
  readonly checkpointId: string | undefined;
}

function addressOf(config: RunnableConfig): Address {
  const { thread_id, checkpoint_ns, checkpoint_id } = (config.configurable ?? {}) as Record<string, string | undefined>;
  return {
    threadId: thread_id,
    namespace: checkpoint_ns ?? "",
    checkpointId: checkpoint_id === "" ? undefined : checkpoint_id,
  };
}

function threadPrefix(threadId: string): string {
  return JSON.stringify([threadId]).slice(0, -1) + ",";
}

function missing(field: string, action: string): AgentError {
  return new AgentError(
    "checkpoint",
    `Cannot ${action}: the config has no "${field}". Pass it in config.configurable.`,
  );
}
