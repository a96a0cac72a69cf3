import type { BaseMessage } from "@langchain/core/messages";
import type { SteeringMessage } from "../agent.ts";

/** What people said to one run, without what its thread has already. */
export interface Inbox {
  hasNews(): boolean;
  /** What is new, oldest first, with the ids that it has in the thread. From here on it counts as heard. */
  take(): readonly SteeringMessage[];
}

/** The thread is what remembers: a message whose step was lost in a crash is news again. */
export function createInbox(
  runId: string,
  thread: readonly BaseMessage[],
  read: () => readonly SteeringMessage[],
): Inbox {
  const heard = new Set(thread.filter((message) => isSteering(runId, message)).map(({ id }) => id));
  return {
    hasNews: () => read().some(({ id }) => !heard.has(steeringId(runId, id))),
    take() {
      const news = new Map(read().map(({ id, text }) => [steeringId(runId, id), text]));
      return [...news].flatMap(([id, text]) => {
        if (heard.has(id)) return [];
        heard.add(id);
        return [{ id, text }];
      });
    },
  };
}

/** Whether a message of the thread was said to the run while it was under way. */
export function isSteering(runId: string, { id, type }: BaseMessage): boolean {
  return type === "human" && id?.startsWith(steeringId(runId, "")) === true;
}

function steeringId(runId: string, messageId: string): string {
  return `${runId}/${messageId}`;
}
