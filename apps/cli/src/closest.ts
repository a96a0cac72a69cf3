import { distance } from "fastest-levenshtein";

/** The candidate that a typing error most likely meant, or undefined when none is near: two letters in five may differ. */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  const most = Math.round(word.length * 0.4);
  return candidates
    .map((candidate) => ({ candidate, edits: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ edits }) => edits <= most)
    .sort((a, b) => a.edits - b.edits)[0]?.candidate;
}
