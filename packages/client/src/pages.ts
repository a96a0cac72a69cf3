/** One page of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** Which page of a list is wanted. */
export interface PageInput {
  /** Default 50, at most 1,000. */
  readonly pageSize?: number;
  /** `nextPageToken` of the page before. */
  readonly pageToken?: string;
}

/**
 * A list: awaited, it is the one page that was asked for; iterated (`for await`), it is every resource from there on, page
 * after page, each fetched when the one before is used up.
 */
export type List<T> = Promise<Page<T>> & AsyncIterable<T>;

/** The list whose pages `fetch` gets. The first is asked for at once. */
export function listOf<T>(pageToken: string | undefined, fetch: (pageToken: string) => Promise<Page<T>>): List<T> {
  const first = fetch(pageToken ?? "");
  return Object.assign(first, {
    async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
      let page = await first;
      yield* page.items;
      while (page.nextPageToken !== "") {
        page = await fetch(page.nextPageToken);
        yield* page.items;
      }
    },
  });
}

/** A list that older methods give by the numbers of its pages, from 0: the token here is the number. */
export async function numberedPage<T>(
  { pageSize, pageToken }: Required<PageInput>,
  fetch: (page: { num: number; size: number }) => Promise<{ items: readonly T[]; totalPages: number }>,
): Promise<Page<T>> {
  const num = Number(pageToken) || 0;
  const { items, totalPages } = await fetch({ num, size: Math.min(pageSize || 50, 1_000) });
  return { items, nextPageToken: num + 1 < totalPages ? String(num + 1) : "" };
}
