/** A list as it was last stored, and what reading it back would take. */
interface StoredList {
  readonly id: number;
  readonly items: readonly unknown[];
  /** Bytes of the row that holds a whole list, and of the rows that append to it. */
  readonly wholeBytes: number;
  readonly appendedBytes: number;
  readonly appends: number;
}

interface ListPlan {
  /** The row to append to; undefined when the whole value is stored. */
  readonly base: number | undefined;
  readonly value: unknown;
}

/** Remembers the lists stored last, so that the next store of a list that only grew writes just what is new. */
export interface GrowingLists {
  plan(key: string, value: unknown): ListPlan;
  stored(key: string, value: unknown, row: { id: number; base: number | undefined; bytes: number }): void;
  forget(prefix: string): void;
}

/** Lists remembered at once: the channels of the runs in flight. A forgotten one is stored whole once more. */
const capacity = 256;

// A list is stored whole again when what was appended outgrows it, or when a read would have to join too many rows.
const slackBytes = 64 * 1024;
const mostAppends = 200;

export function createGrowingLists(): GrowingLists {
  const lists = new Map<string, StoredList>();
  return {
    plan(key, value) {
      const last = lists.get(key);
      if (last === undefined || !Array.isArray(value) || !startsWith(value, last.items))
        return { base: undefined, value };
      if (last.appends >= mostAppends || last.appendedBytes > last.wholeBytes + slackBytes)
        return { base: undefined, value };
      return { base: last.id, value: value.slice(last.items.length) };
    },
    stored(key, value, { id, base, bytes }) {
      const last = lists.get(key);
      lists.delete(key);
      if (!Array.isArray(value)) return;
      const grown = base !== undefined && last !== undefined;
      lists.set(key, {
        id,
        items: [...value],
        wholeBytes: grown ? last.wholeBytes : bytes,
        appendedBytes: grown ? last.appendedBytes + bytes : 0,
        appends: grown ? last.appends + 1 : 0,
      });
      for (const oldest of lists.keys()) {
        if (lists.size <= capacity) break;
        lists.delete(oldest);
      }
    },
    forget(prefix) {
      for (const key of lists.keys()) if (key.startsWith(prefix)) lists.delete(key);
    },
  };
}

/** By identity: LangGraph's reducers keep the very objects that did not change. */
function startsWith(list: readonly unknown[], start: readonly unknown[]): boolean {
  return list.length >= start.length && start.every((item, index) => Object.is(item, list[index]));
}
