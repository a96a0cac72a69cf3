import { TASKS } from "@langchain/langgraph-checkpoint";
import { AgentError } from "../errors.ts";
import { type Serialised, unpack } from "./packed-values.ts";

/** A row of checkpoints, with the document that it refers to. */
export interface CheckpointRow {
  readonly thread_id: string;
  readonly checkpoint_ns: string;
  readonly checkpoint_id: string;
  /** JSON: ids of channel_values, the document's last. Before version 4 they stood by channel, as did values in place (`[json?]`). */
  readonly channels: string;
  readonly document_type: string | null;
  readonly document: Uint8Array | null;
  /** Before version 4: what the document has now. */
  readonly parent_checkpoint_id: string | null;
  readonly checkpoint: Uint8Array;
  readonly metadata: Uint8Array;
}

/** Where the values of a checkpoint's channels are. */
export interface Places {
  /** Ids of channel_values, by channel. */
  readonly rows: ReadonlyMap<string, number>;
  /** JSON of values so small that they stand within the document; undefined where the value is. A step gives many channels none. */
  readonly values: ReadonlyMap<string, string | undefined>;
  /** JSON of what `shareSends` made of the channel of sends. */
  readonly sends: string | undefined;
}

/** All of a checkpoint but the values that have a row of their own. */
export interface StepDocument {
  /** JSON, without the checkpoint's id and its channels' values. */
  readonly checkpoint: string;
  /** JSON. */
  readonly metadata: string;
  readonly parent: string | undefined;
  readonly places: Places;
}

/** The document, once LangGraph's serialiser has read it. */
export interface Step<Checkpoint, Metadata> {
  readonly checkpoint: Checkpoint;
  readonly metadata: Metadata;
  readonly parent?: string;
  /** Channels, in the order of their ids. */
  readonly rows: readonly string[];
  readonly values: Readonly<Record<string, unknown>>;
  readonly undefined: readonly string[];
  readonly sends?: unknown;
}

export interface StoredStep {
  /** JSON of a `Step`. */
  readonly document: string;
  readonly ids: readonly number[];
}

export function formatStep({ checkpoint, metadata, parent, places }: StepDocument): string {
  const { rows, values, sends } = places;
  const defined = [...values].filter(([, json]) => json !== undefined);
  const members = [
    `"checkpoint":${checkpoint}`,
    `"metadata":${metadata}`,
    `"values":{${defined.map(([channel, json]) => `${JSON.stringify(channel)}:${json}`).join(",")}}`,
    `"undefined":${JSON.stringify([...values.keys()].filter((channel) => values.get(channel) === undefined))}`,
    `"rows":${JSON.stringify([...rows.keys()])}`,
    ...(parent === undefined ? [] : [`"parent":${JSON.stringify(parent)}`]),
    ...(sends === undefined ? [] : [`"sends":${sends}`]),
  ];
  return `{${members.join(",")}}`;
}

/** Throws `AgentError` when the document is not there. */
export function storedStep(row: CheckpointRow): StoredStep {
  const channels = JSON.parse(row.channels) as readonly number[] | OldPlaces;
  if (!isList(channels)) return stepOfBefore(row, channels);
  const { document: value, document_type: type } = row;
  if (value === null || type === null) throw lacksValue(channels.at(-1));
  return { document: textOf(unpack({ type, value }).value), ids: channels.slice(0, -1) };
}

/** What a step that follows may take over as it is. */
export function placesOf({ document, ids }: StoredStep): Places {
  const { rows, values, undefined: empty, sends } = JSON.parse(document) as Step<unknown, unknown>;
  return {
    rows: new Map(rows.map((channel, index) => [channel, ids[index] as number])),
    values: new Map<string, string | undefined>([
      ...Object.entries(values).map(([channel, value]) => [channel, JSON.stringify(value)] as const),
      ...empty.map((channel) => [channel, undefined] as const),
    ]),
    sends: sends === undefined ? undefined : JSON.stringify(sends),
  };
}

export function hasPlace({ rows, values, sends }: Places, channel: string): boolean {
  return rows.has(channel) || values.has(channel) || (channel === TASKS && sends !== undefined);
}

export function lacksValue(id: number | undefined): AgentError {
  const message = `The checkpoint database lacks a value that it refers to (row ${id}). Start a new session.`;
  return new AgentError("checkpoint", message);
}

export function textOf(bytes: Serialised["value"]): string {
  return new TextDecoder().decode(bytes);
}

type OldPlaces = Readonly<Record<string, number | readonly [json?: string]>>;

function stepOfBefore(row: CheckpointRow, channels: OldPlaces): StoredStep {
  const rows = new Map<string, number>();
  const values = new Map<string, string | undefined>();
  for (const [channel, place] of Object.entries(channels)) {
    if (typeof place === "number") rows.set(channel, place);
    else values.set(channel, place[0]);
  }
  const document = formatStep({
    checkpoint: textOf(row.checkpoint),
    metadata: textOf(row.metadata),
    parent: row.parent_checkpoint_id ?? undefined,
    places: { rows, values, sends: undefined },
  });
  return { document, ids: [...rows.values()] };
}

function isList(channels: readonly number[] | OldPlaces): channels is readonly number[] {
  return Array.isArray(channels);
}
