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

/** A server that counts pages instead of giving tokens: the token here is how many items came before. */
export async function pageByCount<T>(
  { pageSize, pageToken }: Required<PageInput>,
  fetch: (size: number) => Promise<readonly T[]>,
): Promise<Page<T>> {
  const start = Number(pageToken) || 0;
  const size = pageSize || 50;
  // Always the first page, so large that it holds what is wanted: what is written in between shifts nothing, and nobody has
  // to know whether pages count from 0 or 1. One more tells whether there is a next page.
  const items = await fetch(start + size + 1);
  return {
    items: items.slice(start, start + size),
    nextPageToken: items.length > start + size ? String(start + size) : "",
  };
}
