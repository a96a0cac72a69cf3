import type { RunNotice, Topic } from "./fanout.ts";

type Listener = (notice: RunNotice) => void;

/** Who listens to what within this process. */
export interface Listeners {
  /** Answers whether it is the topic's first. */
  add(topic: Topic, listener: Listener): boolean;
  /** Answers whether it was the topic's last. */
  remove(topic: Topic, listener: Listener): boolean;
  tell(topic: Topic, notice: RunNotice): void;
  readonly topics: Iterable<Topic>;
  readonly size: number;
}

export function createListeners(): Listeners {
  const byTopic = new Map<Topic, Set<Listener>>();
  return {
    add: (topic, listener) => {
      const listeners = byTopic.get(topic);
      listeners?.add(listener);
      if (!listeners) byTopic.set(topic, new Set([listener]));
      return !listeners;
    },
    remove: (topic, listener) => {
      const listeners = byTopic.get(topic);
      if (!listeners?.delete(listener) || listeners.size > 0) return false;
      return byTopic.delete(topic);
    },
    tell: (topic, notice) => {
      for (const listener of byTopic.get(topic) ?? []) listener(notice);
    },
    get topics() {
      return byTopic.keys();
    },
    get size() {
      return byTopic.size;
    },
  };
}
