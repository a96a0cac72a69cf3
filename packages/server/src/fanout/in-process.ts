import { type Fanout, topicsOf } from "./fanout.ts";
import { createListeners } from "./listeners.ts";

export interface InProcessFanoutOptions {
  /** Other servers write to the same store, and nothing tells of it: it is looked up. Default false. */
  readonly shared?: boolean;
}

/** Fan-out within one server. */
export function createInProcessFanout({ shared = false }: InProcessFanoutOptions = {}): Fanout {
  const listeners = createListeners();
  return {
    shared,
    state: shared ? "polling" : "live",
    get subscriptions() {
      return listeners.size;
    },
    droppedTotal: 0,
    publish: (notice) => {
      for (const topic of topicsOf(notice)) listeners.tell(topic, notice);
    },
    // Its runners ask by themselves, or are told on their stream.
    wake: () => {},
    subscribe: (topic, listener) => {
      listeners.add(topic, listener);
      return { ready: Promise.resolve(), close: () => void listeners.remove(topic, listener) };
    },
    onState: () => {},
    close: async () => {},
  };
}
