/**
 * Whether two hashes of `StatusFold.hash` say that their statuses differ. Hashes by different rules, of an older or newer
 * side, say nothing, and so does an empty one.
 */
export function hashesContradict(one: string, other: string): boolean {
  return one !== other && rulesOf(one) !== "" && rulesOf(one) === rulesOf(other);
}

function rulesOf(hash: string): string {
  return hash.slice(0, hash.indexOf(":") + 1);
}
