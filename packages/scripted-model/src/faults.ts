/** Counts how often a turn has misbehaved: the one thing the server remembers between requests. */
export interface FaultCounter {
  /** True while fewer than `times` were counted for this key, and counts this one. Always true without `times`. */
  due(key: string, times: number | undefined): boolean;
}

export function createFaultCounter(): FaultCounter {
  const counts = new Map<string, number>();
  return {
    due(key, times) {
      if (times === undefined) return true;
      const count = counts.get(key) ?? 0;
      if (count >= times) return false;
      counts.set(key, count + 1);
      return true;
    },
  };
}
