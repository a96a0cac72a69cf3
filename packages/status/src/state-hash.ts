import type {
  AgentExecutionStatus,
  AgentMessage,
  SubAgentExecution,
  ToolCall,
} from "@stigmer/protos/agentexecution/v1";
import {
  contentField,
  type Fields,
  messageFields,
  reasoningField,
  statusFields,
  subAgentFields,
  toolCallFields,
} from "./hash-fields.ts";
import { type Hash, hashText, join, NOTHING, place } from "./hash-value.ts";

/** Says by which rules a hash was made: hashes by different rules say nothing about each other. */
const RULES = "3";

/** The hash of a living status. It is told of what changes in lists and texts, and costs what changed. */
export interface StateHash {
  /** The message was added at the end. */
  messageAdded(message: AgentMessage): void;
  /** The call was added at the end of this list, which is one of the status or of a message. */
  toolCallAdded(list: readonly ToolCall[], call: ToolCall): void;
  subAgentAdded(subAgent: SubAgentExecution): void;
  /** The row that stood at this place of this list is gone. */
  removed(list: readonly object[], at: number): void;
  /** Fields of the row were set. */
  changed(row: AgentMessage | ToolCall | SubAgentExecution): void;
  /** `added` was put behind a text of the message. */
  appended(message: AgentMessage, text: "content" | "reasoning", added: string): void;
  /** The hash of the status now. */
  read(): string;
}

/** One row of the status. It may stand in two lists: a call in that of all calls and in its message's. */
interface Row {
  readonly message: object;
  hash: Hash;
  /** For each field, the value that was seen last and its hash. */
  readonly seen: Map<number, { readonly value: unknown; readonly hash: Hash | undefined }>;
  readonly places: { readonly list: List; at: number }[];
  /** The calls of a message. */
  readonly calls?: readonly object[];
  /** Makes the hash true again. */
  readonly refresh: () => void;
}

interface List {
  hash: Hash;
  readonly rows: Row[];
  /** The message that has the list; undefined for the lists of the status itself. */
  readonly owner: Row | undefined;
}

/** Costs as much as the status is large, once. From then on lists and texts change only as this is told. */
export function createStateHash(status: AgentExecutionStatus): StateHash {
  const rows = new Map<object, Row>();
  const lists = new Map<readonly object[], List>();
  // Rows whose hash is not true any more. Messages are apart, because the calls in them come first.
  const changedRows = new Set<Row>();
  const changedMessages = new Set<Row>();

  const root = createRow(status, statusFields);
  const messages = addList(status.messages);
  const toolCalls = addList(status.toolCalls);
  const subAgents = addList(status.subAgentExecutions);
  for (const message of status.messages) addMessage(message);
  for (const call of status.toolCalls) addRow(toolCalls, call, toolCallFields);
  for (const subAgent of status.subAgentExecutions) addRow(subAgents, subAgent, subAgentFields);

  function addList(array: readonly object[], owner?: Row): List {
    const list: List = { hash: NOTHING, rows: [], owner };
    lists.set(array, list);
    return list;
  }

  function change(list: List, part: Hash): void {
    list.hash = join(list.hash, part);
    if (list.owner !== undefined) changedMessages.add(list.owner);
  }

  function createRow<T extends object>(message: T, fields: Fields<T>, calls?: readonly object[]): Row {
    const row: Row = {
      message,
      calls,
      hash: NOTHING,
      seen: new Map(),
      places: [],
      refresh: () => {
        const before = row.hash;
        let hash = hashOf(calls && lists.get(calls), 4);
        for (const field of fields) {
          const value = field.read(message);
          let seen = row.seen.get(field.number);
          if (seen === undefined || seen.value !== value) {
            seen = { value, hash: field.hash(message) };
            row.seen.set(field.number, seen);
          }
          if (seen.hash !== undefined) hash = join(hash, place(field.number, seen.hash));
        }
        row.hash = hash;
        for (const { list, at } of row.places) change(list, join(place(at, before), place(at, hash)));
      },
    };
    return row;
  }

  function addRow<T extends object>(list: List, message: T, fields: Fields<T>): void {
    let row = rows.get(message);
    if (row === undefined) {
      row = createRow(message, fields);
      row.refresh();
    }
    put(list, row);
  }

  function put(list: List, row: Row): void {
    rows.set(row.message, row);
    const at = list.rows.push(row) - 1;
    row.places.push({ list, at });
    change(list, place(at, row.hash));
  }

  function addMessage(message: AgentMessage): void {
    const row = createRow(message, messageFields, message.toolCalls);
    const calls = addList(message.toolCalls, row);
    for (const call of message.toolCalls) addRow(calls, call, toolCallFields);
    put(messages, row);
    changedMessages.add(row);
  }

  function remove(list: List, at: number): void {
    const [gone, ...behind] = list.rows.splice(at);
    if (gone === undefined) return;
    change(list, place(at, gone.hash));
    leave(gone, list);
    for (const row of behind) {
      const where = row.places.find((each) => each.list === list);
      if (where === undefined) continue;
      change(list, join(place(where.at, row.hash), place(where.at - 1, row.hash)));
      where.at -= 1;
      list.rows.push(row);
    }
  }

  /** A row that stands nowhere any more is forgotten, and a message's calls leave it with it. */
  function leave(row: Row, list: List | undefined): void {
    row.places.splice(
      row.places.findIndex((each) => each.list === list),
      1,
    );
    if (row.places.length > 0) return;
    rows.delete(row.message);
    if (row.calls !== undefined) {
      const calls = lists.get(row.calls);
      for (const call of calls?.rows ?? []) leave(call, calls);
      lists.delete(row.calls);
    }
    changedRows.delete(row);
    changedMessages.delete(row);
  }

  return {
    messageAdded: addMessage,
    toolCallAdded: (array, call) => {
      const list = lists.get(array);
      if (list !== undefined) addRow(list, call, toolCallFields);
    },
    subAgentAdded: (subAgent) => addRow(subAgents, subAgent, subAgentFields),
    removed: (array, at) => {
      const list = lists.get(array);
      if (list !== undefined) remove(list, at);
    },
    changed: (message) => {
      const row = rows.get(message);
      if (row !== undefined) (row.calls === undefined ? changedRows : changedMessages).add(row);
    },
    appended: (message, text, added) => {
      const row = rows.get(message);
      if (row === undefined) return;
      const { number } = text === "content" ? contentField : reasoningField;
      const before = row.seen.get(number)?.hash;
      row.seen.set(number, { value: message[text], hash: hashText(added, before) });
      changedMessages.add(row);
    },
    read: () => {
      for (const row of changedRows) row.refresh();
      changedRows.clear();
      for (const row of changedMessages) row.refresh();
      changedMessages.clear();
      root.refresh();
      const hash = [hashOf(messages, 1), hashOf(toolCalls, 3), hashOf(subAgents, 4)].reduce(join, root.hash);
      return `${RULES}:${hex(hash.a)}${hex(hash.b)}`;
    },
  };
}

/** A list as the field of this number. An empty one is unset. */
function hashOf(list: List | undefined, number: number): Hash {
  return list === undefined || list.rows.length === 0 ? NOTHING : place(number, list.hash);
}

function hex(lane: number): string {
  return (lane >>> 0).toString(16).padStart(8, "0");
}
