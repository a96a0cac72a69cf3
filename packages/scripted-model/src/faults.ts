/** Counts how often a turn has misbehaved: the one thing the server remembers between requests. */
export interface FaultCounter {
  /** True while fewer than `times` were counted for this key, and counts this one. Always so without `times`. */
  due(key: string, times: number | undefined): boolean;
  /** How many were counted for this key. */
  count(key: string): number;
}

export function createFaultCounter(): FaultCounter {
  const counts = new Map<string, number>();
  return {
    due(key, times) {
      const count = counts.get(key) ?? 0;
      if (times !== undefined && count >= times) return false;
      counts.set(key, count + 1);
      return true;
    },
    count: (key) => counts.get(key) ?? 0,
  };
}
