import { createWaker } from "../executions/waker.ts";

/**
 * What the work on each item answers, in the order of the items; the work on one does not wait for that on those before. The work
 * must not reject. A reader that leaves does not end the items: they have an end of their own.
 */
export async function* mapInOrder<A, B>(items: AsyncIterable<A>, work: (item: A) => Promise<B>): AsyncGenerator<B> {
  const waker = createWaker();
  const begun: Promise<B>[] = [];
  let end: { readonly error?: unknown } | undefined;
  const read = async (): Promise<void> => {
    for await (const item of items) {
      begun.push(work(item));
      waker.wake();
    }
  };
  const ended = (how: { readonly error?: unknown }): void => {
    end = how;
    waker.wake();
  };
  read().then(
    () => ended({}),
    (error: unknown) => ended({ error }),
  );
  while (true) {
    const next = begun.shift();
    if (next) {
      yield await next;
    } else if (end) {
      if ("error" in end) throw end.error;
      return;
    } else {
      await waker.sleep();
    }
  }
}
