import { Code, ConnectError } from "@connectrpc/connect";
import { z } from "zod";
import type { PagePosition, PageQuery } from "../store/resource-store.ts";

const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 1000;

export interface Page<T> {
  readonly items: T[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

export interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
}

/** What a list request asks for; 0 means 50, and more than 1000 are not given at once. */
export function pageSizeOf(requested: number): number {
  if (requested < 0) throw new ConnectError(`page_size: must not be negative, is ${requested}`, Code.InvalidArgument);
  return requested === 0 ? DEFAULT_PAGE_SIZE : Math.min(requested, MAX_PAGE_SIZE);
}

/** How many pages of the requested size `count` entries make. */
export function pagesOf(count: number, requested: number): number {
  return Math.ceil(count / pageSizeOf(requested));
}

/**
 * A page ends here, in bytes: clients of other languages take no more than 4 MiB in one answer. The first row of a page
 * is always given.
 */
export const MAX_PAGE_BYTES: number = 2 * 1024 * 1024;

/** Reads one page: one row more than asked for tells whether another page follows. */
export async function readPage<Row extends PagePosition & { readonly body: Uint8Array }>(
  request: PageRequest,
  read: (query: PageQuery) => Promise<Row[]>,
): Promise<Page<Row>> {
  const limit = pageSizeOf(request.pageSize);
  const rows = await read({ limit: limit + 1, after: decodeToken(request.pageToken) });
  let bytes = 0;
  const fitting = rows.findIndex(({ body }, index) => (bytes += body.length) > MAX_PAGE_BYTES && index > 0);
  const items = rows.slice(0, fitting === -1 ? limit : Math.min(fitting, limit));
  const last = items.at(-1);
  return { items, nextPageToken: rows.length > items.length && last ? pageTokenAfter(last) : "" };
}

const position = z.tuple([z.number(), z.string()]);

/** The token of the page that goes on after this row. */
export function pageTokenAfter({ createdAt, id }: PagePosition): string {
  return Buffer.from(JSON.stringify([createdAt, id])).toString("base64url");
}

function decodeToken(token: string): PagePosition | undefined {
  if (token === "") return undefined;
  try {
    const [createdAt, id] = position.parse(JSON.parse(Buffer.from(token, "base64url").toString("utf8")));
    return { createdAt, id };
  } catch {
    throw new ConnectError("page_token: not a token of this server; begin again without one", Code.InvalidArgument);
  }
}
