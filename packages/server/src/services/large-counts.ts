/**
 * How many entries of a list are counted at most: what counting costs must not grow with all that was ever stored.
 * @internal
 */
export const MAX_COUNTED: number = 10_000;

/** Counting this many costs next to nothing; up to here a count is always that of the moment. */
const ALWAYS_COUNTED = 1_000;
/** For how long a larger count is used again, in milliseconds: nobody sees the difference between 12,000 and 12,010 rows. */
const REMEMBERED_MS = 10_000;
/** How many filters are remembered. */
const MAX_REMEMBERED = 256;

/** Counts the rows of lists, however often their pages are asked for. */
export interface LargeCounts {
  /** `read` counts what passes `filter`, no further than it is told. Answers `MAX_COUNTED` at most. */
  count(filter: object, read: (limit: number) => Promise<number>): Promise<number>;
}

/** `clock` answers milliseconds since 1970. */
export function createLargeCounts(clock: () => number): LargeCounts {
  const remembered = new Map<string, { readonly count: number; readonly until: number }>();

  return {
    async count(filter, read) {
      const few = await read(ALWAYS_COUNTED);
      if (few < ALWAYS_COUNTED) return few;
      const key = JSON.stringify(filter);
      const known = remembered.get(key);
      if (known && clock() < known.until) return known.count;
      const count = await read(MAX_COUNTED);
      remembered.delete(key);
      remembered.set(key, { count, until: clock() + REMEMBERED_MS });
      const oldest = remembered.keys().next();
      if (remembered.size > MAX_REMEMBERED && !oldest.done) remembered.delete(oldest.value);
      return count;
    },
  };
}
