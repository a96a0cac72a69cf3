import { UNKNOWN } from "./shell-line.ts";

/** Whether the pattern, in which `*` stands for any characters, is for this text, whatever {@link UNKNOWN} in it turns out to be. */
export function matches(pattern: string, text: string): boolean {
  return walk([...pattern], [...text], false);
}

/** Whether the pattern may be for this text: {@link UNKNOWN} in it can turn out to be anything. */
export function mayMatch(pattern: string, text: string): boolean {
  return walk([...pattern], [...text], true);
}

/** By how far the pattern and the text have been read; each place is looked at once. */
function walk(pattern: readonly string[], text: readonly string[], open: boolean): boolean {
  // reached[j]: the pattern so far can be for the first j characters.
  let reached = new Set<number>([0]);
  const spread = (places: ReadonlySet<number>): Set<number> => {
    const all = new Set(places);
    // What is not known may be nothing at all.
    if (open) for (const at of all) if (text[at] === UNKNOWN) all.add(at + 1);
    return all;
  };
  reached = spread(reached);
  for (const char of pattern) {
    const next = new Set<number>();
    for (const at of reached) {
      if (char === "*") {
        for (let place = at; place <= text.length && !next.has(place); place += 1) next.add(place);
      } else if (open && text[at] === UNKNOWN) next.add(at);
      else if (text[at] === char) next.add(at + 1);
    }
    if (next.size === 0) return false;
    reached = spread(next);
  }
  return reached.has(text.length);
}
