import type { DescMessage } from "@bufbuild/protobuf";
import { invalidField } from "./field-errors.ts";
import { type Page, pageSizeOf, type PageRequest } from "./pages.ts";

export interface NumberedPage {
  /** The request's type. */
  readonly schema: DescMessage;
  /** Where in it the page stands. */
  readonly field: string;
  /** Counted from 0; undefined means the first, in the default size. */
  readonly page: { readonly num: number; readonly size: number } | undefined;
}

/** Which rows a numbered page holds. Throws INVALID_ARGUMENT. */
export function rowsOf({ schema, field, page }: NumberedPage): { readonly start: number; readonly size: number } {
  const { num = 0, size: asked = 0 } = page ?? {};
  if (num < 0 || asked < 0) throw invalidField({ schema, field, message: "must not be negative" });
  const size = pageSizeOf(asked);
  return { start: num * size, size };
}

/** How many rows are read per step, at most; older methods count pages, so a late one is read from the start. */
const STEP = 1000;

/**
 * Reads a page as older methods ask for it: by its number. What is written in between may shift such pages, which those
 * with tokens are safe from.
 */
export async function readNumberedPage<T>(
  numbered: NumberedPage,
  read: (request: PageRequest) => Promise<Page<T>>,
): Promise<T[]> {
  const { start, size } = rowsOf(numbered);
  const rows: T[] = [];
  let seen = 0;
  let pageToken = "";
  do {
    const { items, nextPageToken } = await read({ pageSize: Math.min(start + size - seen, STEP), pageToken });
    rows.push(...items.slice(Math.max(start - seen, 0)));
    seen += items.length;
    pageToken = nextPageToken;
  } while (pageToken !== "" && seen < start + size);
  return rows;
}
