import type { PagePosition, PageQuery } from "../store/resource-store.ts";

const PAGE = 50;

/** A list page by page, as far as it is read. */
export async function* pagesOf<T extends PagePosition>(
  read: (query: PageQuery) => Promise<T[]>,
  limit: number = Infinity,
): AsyncGenerator<T[], undefined> {
  let after: T | undefined;
  for (let left = limit; left > 0;) {
    const size = Math.min(PAGE, left);
    const page = await read({ limit: size, after });
    if (page.length > 0) yield page;
    if (page.length < size) return;
    left -= size;
    after = page.at(-1);
  }
}
