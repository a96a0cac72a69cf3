import { wakeOnEnd } from "../executions/follow-run.ts";
import type { Closing } from "../executions/closing.ts";
import { createWaker } from "../executions/waker.ts";

/** Entries of a stream that are worked on at a time: enough for a run's parallel tool calls, and a burst waits its turn. */
const MOST_AT_A_TIME = 32;

export interface AnswerEntriesOptions<Entry, Answer> {
  /** Rejects with what ends the stream. */
  readonly answer: (entry: Entry) => Promise<Answer>;
  /** Of the stream. */
  readonly signal: AbortSignal;
  readonly closing: Closing;
}

/**
 * Answers each entry of a stream as soon as it is stored, in whichever order. Ends with the entries; with an error that is no
 * refusal of one of them; and when the server closes, as soon as what is under way has been answered.
 */
export async function* answerEntries<Entry, Answer>(
  entries: AsyncIterable<Entry>,
  { answer, signal, closing }: AnswerEntriesOptions<Entry, Answer>,
): AsyncGenerator<Answer> {
  const waker = createWaker();
  const stopListening = wakeOnEnd(waker.wake, { signal, closing });
  const answers: Answer[] = [];
  const working = new Set<Promise<void>>();
  let end: { readonly error?: unknown } | undefined;

  const take = async (entry: Entry): Promise<void> => {
    try {
      answers.push(await answer(entry));
    } catch (error) {
      end = { error };
    }
  };
  const read = async (): Promise<void> => {
    for await (const entry of entries) {
      const work = take(entry).finally(() => {
        working.delete(work);
        waker.wake();
      });
      working.add(work);
      if (working.size >= MOST_AT_A_TIME) await Promise.race(working);
    }
  };
  const ended = (how: { readonly error?: unknown }): void => {
    end ??= how;
    waker.wake();
  };
  read().then(
    () => ended({}),
    (error: unknown) => ended({ error }),
  );

  try {
    while (!signal.aborted) {
      const next = answers.shift();
      if (next !== undefined) {
        yield next;
      } else if (working.size > 0) {
        await waker.sleep();
      } else {
        closing.throwIfClosed();
        if (end && "error" in end) throw end.error;
        if (end) return;
        await waker.sleep();
      }
    }
  } finally {
    stopListening();
  }
}
