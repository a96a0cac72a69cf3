import type { InboxItem } from "@stigmer/protos/runner/v1";
import type { Inbox } from "../contract.ts";

/** The inbox of one attempt, from the side that fills it. */
export interface RunInbox extends Inbox {
  /** Takes an item in, unless its id is there already. */
  add(item: InboxItem): void;
  /** How many items whoever reads it knows of: those that were there when it began, or when it looked last. */
  readonly seen: number;
}

export function createRunInbox(initial: readonly InboxItem[], onFault: (error: unknown) => void): RunInbox {
  let items: readonly InboxItem[] = [...initial];
  let seen = items.length;
  const listeners = new Set<() => void>();

  return {
    get items() {
      seen = items.length;
      return items;
    },
    get seen() {
      return seen;
    },
    subscribe: (listener) => {
      // A function of its own, so that the same listener may subscribe twice.
      const call = (): void => listener();
      listeners.add(call);
      return () => void listeners.delete(call);
    },
    add: (item) => {
      if (items.some(({ id }) => id === item.id)) return;
      items = [...items, item];
      for (const listener of listeners) {
        try {
          listener();
        } catch (error) {
          // It is the activity's; the stream that brought the item has others to serve.
          onFault(error);
        }
      }
    },
  };
}
