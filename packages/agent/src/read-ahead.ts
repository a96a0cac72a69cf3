/**
 * Reads on its own, as fast as the source gives, so that nothing is lost when the source fails: streams forget what nobody has
 * fetched when they do. What came before comes out first, then the error. The source is read on after the reader has left,
 * until it ends by itself: whoever leaves stops the source.
 */
export async function* readAhead<T>(source: AsyncIterable<T>): AsyncGenerator<T, void> {
  const items: T[] = [];
  let end: { readonly error?: unknown } | undefined;
  let wake = (): void => {};
  const read = async (): Promise<void> => {
    try {
      for await (const item of source) {
        items.push(item);
        wake();
      }
      end = {};
    } catch (error) {
      end = { error };
    }
    wake();
  };
  void read();
  for (;;) {
    while (items.length > 0) yield* items.splice(0);
    if (end !== undefined) {
      if ("error" in end) throw end.error;
      return;
    }
    await new Promise<void>((resolve) => (wake = resolve));
  }
}
