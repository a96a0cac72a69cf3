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
import { conflictOn, isNext, type NextCheckpoint, refuseBackwards } from "./checkpoint-conflict.ts";
import type { SqliteCheckpointer } from "./create-sqlite-checkpointer.ts";
import { createGrowingLists, type GrowingLists } from "./growing-lists.ts";
import { transaction } from "./database.ts";
import { pack, type Serialised, unpack } from "./packed-values.ts";
import { restoreSends, shareSends, sharedSendsPrefix } from "./shared-sends.ts";
import { prepareStatements, type Statements } from "./statements.ts";
import {
  type CheckpointRow,
  formatStep,
  hasPlace,
  lacksValue,
  type Places,
  placesOf,
  type Step,
  storedStep,
  textOf,
} from "./step-document.ts";
import { createWriteAheadLog, type WriteAheadLog } from "./write-ahead-log.ts";

/** A channel's value that gets a row. */
interface NewRow extends Serialised {
  readonly base: number | undefined;
}

interface Put {
  /** Names the checkpoint before it. */
  readonly config: RunnableConfig;
  readonly checkpoint: Checkpoint;
  readonly metadata: CheckpointMetadata;
  readonly newVersions: ChannelVersions;
  /** Whether it is refused where it is not the next one. */
  readonly follows?: boolean;
}

/** A value of so few bytes is kept in each document that has it: a row of its own is more. */
const MOST_BYTES_IN_PLACE = 64;

/** Graphs whose last places are remembered: those of the runs in flight. Of others they are read. */
const MOST_REMEMBERED = 256;

interface LastPlaces {
  /** As in the row of the checkpoint. */
  readonly channels: string;
  readonly places: Places;
}

/** Checkpoints on `node:sqlite`. Made by `createSqliteCheckpointer`. */
export class SqliteSaver extends BaseCheckpointSaver implements SqliteCheckpointer {
  readonly #database: DatabaseSync;
  readonly #sql: Statements;
  readonly #keep: number;
  readonly #log: WriteAheadLog;
  readonly #lists: GrowingLists = createGrowingLists();
  /** Of the checkpoints put last, each of a graph: most are followed by another. */
  readonly #places = new Map<string, LastPlaces>();

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
      const { metadata } = JSON.parse(storedStep(row).document) as { readonly metadata: Record<string, unknown> };
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
    return this.#put({ config, checkpoint, metadata, newVersions });
  }

  async putNext(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const { threadId, namespace, checkpointId: parentId } = addressOf(config);
    if (threadId !== undefined) refuseBackwards({ threadId, namespace, id: checkpoint.id, parentId });
    return this.#put({ config, checkpoint, metadata, newVersions, follows: true });
  }

  async #put(put: Put): Promise<RunnableConfig> {
    const { config, checkpoint, metadata, newVersions } = put;
    const { threadId, namespace, checkpointId: parentId } = addressOf(config);
    if (threadId === undefined) throw missing("thread_id", "put a checkpoint");
    const { channel_values: values, id, ...head } = checkpoint;
    const parent = parentId === undefined ? undefined : this.#placesOf(threadId, namespace, parentId);
    const isNew = (channel: string): boolean =>
      channel in newVersions || (parentId !== undefined && (parent === undefined || !hasPlace(parent, channel)));
    const isCarried = ([channel]: readonly [string, unknown]): boolean => channel in values && !isNew(channel);
    const key = (channel: string): string => JSON.stringify([threadId, namespace, channel]);
    const places = {
      rows: new Map([...(parent?.rows ?? [])].filter(isCarried)),
      values: new Map([...(parent?.values ?? [])].filter(isCarried)),
      sends: isCarried([TASKS, undefined]) ? parent?.sends : undefined,
    };
    const newChannels = Object.keys(values).filter(isNew);
    const newRows = new Map<string, NewRow>();
    const [metadataJson] = await Promise.all([
      this.#dump(metadata),
      ...newChannels.map(async (channel) => {
        const shared = channel === TASKS ? shareSends(values[channel], values) : undefined;
        const { base, value } = this.#lists.plan(key(channel), values[channel]);
        const dumped = await this.#dump(shared ?? value);
        if (shared !== undefined) places.sends = textOf(dumped.value);
        else if (value === undefined) places.values.set(channel, undefined);
        else if (isSmall(dumped, base)) places.values.set(channel, textOf(dumped.value));
        else newRows.set(channel, { base, ...pack(dumped) });
      }),
    ]);
    const channels = transaction(this.#database, () => {
      if (put.follows) this.#refuseUnlessNext({ threadId, namespace, id, parentId });
      // Another process may have deleted the thread meanwhile: then nothing is there to append to.
      const bases = [...newRows.values()].flatMap(({ base }) => (base === undefined ? [] : [base]));
      if (bases.some((base) => this.#sql.value.get(base) === undefined)) return undefined;
      const ids = this.#nextIds(newRows.size + 1);
      for (const [index, [channel, row]] of [...newRows].entries()) {
        const at = ids[index] as number;
        this.#sql.insertValue.run(at, row.base ?? null, row.type, row.value);
        places.rows.set(channel, at);
      }
      // Names and numbers: nothing in the checkpoint itself needs LangGraph's own serialiser, which walks it twice.
      const step = { checkpoint: JSON.stringify(head), metadata: textOf(metadataJson.value), parent: parentId, places };
      const document = pack({ type: "json", value: Buffer.from(formatStep(step)) });
      const documentId = ids.at(-1) as number;
      this.#sql.insertValue.run(documentId, null, document.type, document.value);
      const replaced = this.#sql.channelsOf.get(threadId, namespace, id);
      const channels = JSON.stringify([...places.rows.values(), documentId]);
      this.#sql.insertCheckpoint.run(threadId, namespace, id, channels);
      if (replaced !== undefined) {
        this.#sql.dropReplaced.run({ thread: threadId, ns: namespace, channels: String(replaced["channels"]) });
      }
      this.#prune(threadId, namespace, id);
      return channels;
    });
    if (channels === undefined) {
      this.#lists.forget(threadPrefix(threadId));
      return this.#put(put);
    }
    this.#remember(graphKey(threadId, namespace), { channels, places });
    for (const channel of newChannels) {
      const row = newRows.get(channel);
      const stored = { id: places.rows.get(channel) ?? 0, base: row?.base, bytes: row?.value.byteLength ?? 0 };
      // What stands within the document is nothing to append to.
      this.#lists.stored(key(channel), row === undefined ? undefined : values[channel], stored);
    }
    return { configurable: { thread_id: threadId, checkpoint_ns: namespace, checkpoint_id: checkpoint.id } };
  }

  override async putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string): Promise<void> {
    const { threadId, namespace, checkpointId } = addressOf(config);
    if (threadId === undefined) throw missing("thread_id", "put writes");
    if (checkpointId === undefined) throw missing("checkpoint_id", "put writes");
    // A task's results are written once; its error, interrupt and the like replace what was there.
    const special = writes.every(([channel]) => channel in WRITES_IDX_MAP);
    const statement = special ? this.#sql.replaceWrite : this.#sql.insertWrite;
    const stored = await Promise.all(writes.map(async ([, value]) => pack(await this.#dump(value))));
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

  #refuseUnlessNext(next: NextCheckpoint): void {
    const latest = this.#sql.latestId.get(next.threadId, next.namespace)?.["id"];
    if (!isNext(next, latest === undefined ? undefined : String(latest))) throw conflictOn(next);
  }

  #nextIds(count: number): number[] {
    // Never one that was used before: another process may go on appending to a row that this one has deleted.
    const last = Math.max(Number(this.#sql.newestValue.get()?.["id"] ?? 0), idOfNow());
    return Array.from({ length: count }, (_, index) => last + 1 + index);
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

  #placesOf(threadId: string, namespace: string, checkpointId: string): Places | undefined {
    const channels = this.#sql.channelsOf.get(threadId, namespace, checkpointId)?.["channels"];
    if (channels === undefined) return undefined;
    const remembered = this.#places.get(graphKey(threadId, namespace));
    // Ids are used once: with the same ones it is the same document.
    if (remembered?.channels === channels) return remembered.places;
    const row = this.#sql.one.get(threadId, namespace, checkpointId);
    return row === undefined ? undefined : placesOf(storedStep(row as unknown as CheckpointRow));
  }

  #remember(graph: string, last: LastPlaces): void {
    this.#places.delete(graph);
    this.#places.set(graph, last);
    const [oldest] = this.#places.keys();
    if (this.#places.size > MOST_REMEMBERED && oldest !== undefined) this.#places.delete(oldest);
  }

  async #readTuple(row: CheckpointRow): Promise<CheckpointTuple> {
    const { thread_id, checkpoint_ns, checkpoint_id } = row;
    const { document, ids } = storedStep(row);
    const [step, pendingWrites, ...rows] = await Promise.all([
      this.serde.loadsTyped("json", document) as Promise<Step<Checkpoint, CheckpointMetadata>>,
      this.#readWrites(thread_id, checkpoint_ns, checkpoint_id),
      ...ids.map((id) => this.#readValue(id)),
    ]);
    const channels: Record<string, unknown> = {
      ...step.values,
      ...Object.fromEntries(step.undefined.map((channel) => [channel, undefined])),
      ...Object.fromEntries(step.rows.map((channel, index) => [channel, rows[index]])),
    };
    const { [TASKS]: tasks } = channels;
    const sends = tasks instanceof SharedSends ? tasks.value : step.sends;
    if (sends !== undefined) channels[TASKS] = restoreSends(sends, channels);
    const checkpoint: Checkpoint = { ...step.checkpoint, id: checkpoint_id, channel_values: channels };
    if (checkpoint.v < 4 && step.parent !== undefined) await this.#movePendingSends(checkpoint, row, step.parent);
    const at = (id: string): RunnableConfig => ({ configurable: { thread_id, checkpoint_ns, checkpoint_id: id } });
    return {
      config: at(checkpoint_id),
      checkpoint,
      metadata: step.metadata,
      pendingWrites,
      ...(step.parent === undefined ? {} : { parentConfig: at(step.parent) }),
    };
  }

  async #readValue(id: number): Promise<unknown> {
    const appended: unknown[][] = [];
    for (let next = id; ;) {
      const row = this.#sql.value.get(next);
      if (row === undefined) throw lacksValue(next);
      const { type, value: bytes } = unpack(row as unknown as Serialised);
      // Of before version 4.
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
          await this.#load({ type: String(row["type"]), value: row["value"] as Uint8Array }),
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

  #load(stored: Serialised): Promise<unknown> {
    const { type, value } = unpack(stored);
    return this.serde.loadsTyped(type, value);
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

function isSmall({ type, value }: Serialised, base: number | undefined): boolean {
  return base === undefined && type === "json" && value.byteLength <= MOST_BYTES_IN_PLACE;
}

/** Sends that wait for the channels which they share values with. */
class SharedSends {
  readonly value: unknown;

  constructor(value: unknown) {
    this.value = value;
  }
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

function graphKey(threadId: string, namespace: string): string {
  return JSON.stringify([threadId, namespace]);
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
