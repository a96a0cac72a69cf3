import { createHash } from "node:crypto";
import type { DescMessage } from "@bufbuild/protobuf";
import { invalidField } from "./field-errors.ts";
import type { Page, PageRequest } from "./pages.ts";

/** What a page token is good for. */
export interface PagedList {
  /** Names the list among all lists of the server. */
  readonly list: string;
  /** What the list is narrowed by. */
  readonly filter: object;
  /** The request's type, which has `page_size` and `page_token`. */
  readonly schema: DescMessage;
}

/**
 * Reads a page with tokens that are good for this list and these filters alone: a token of another list would skip rows
 * without a word. `read` and its answer know only the position that a token holds.
 */
export async function readBoundPage<P extends Pick<Page<unknown>, "nextPageToken">>(
  paged: PagedList,
  { pageSize, pageToken }: PageRequest,
  read: (request: PageRequest) => Promise<P>,
): Promise<P> {
  const { schema } = paged;
  if (pageSize < 0) throw invalidField({ schema, field: "page_size", message: `must not be negative, is ${pageSize}` });
  const page = await read({ pageSize, pageToken: unbind(paged, pageToken) });
  if (page.nextPageToken === "") return page;
  return Object.assign(page, { nextPageToken: stampOf(paged, page.nextPageToken) + page.nextPageToken });
}

const STAMP_LENGTH = 8;

function unbind(paged: PagedList, token: string): string {
  if (token === "") return token;
  const position = token.slice(STAMP_LENGTH);
  if (token.slice(0, STAMP_LENGTH) === stampOf(paged, position)) return position;
  const message =
    "not a token of this list with these filters: repeat the filters of the first page, or begin without one";
  throw invalidField({ schema: paged.schema, field: "page_token", message });
}

/** Short: it guards against mistakes. What a caller may see is decided for every page, whatever the token. */
function stampOf({ list, filter }: PagedList, position: string): string {
  const text = JSON.stringify([list, inOrder(filter), position]);
  return createHash("sha256").update(text).digest("base64url").slice(0, STAMP_LENGTH);
}

/** The same filters may come in another order; one that is not given is like one that is empty. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(String).toSorted();
  if (typeof value !== "object" || value === null) return value ?? "";
  return Object.entries(value)
    .map(([key, part]): [string, unknown] => [key, inOrder(part)])
    .filter(([, part]) => part !== "" && !(Array.isArray(part) && part.length === 0))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
}
