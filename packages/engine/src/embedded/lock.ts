/** Runs pieces of work one after the other, in the order they came; a piece that fails does not stop the next. */
export type Lock = <T>(work: () => Promise<T>) => Promise<T>;

export function createLock(): Lock {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    last = result.catch(() => {});
    return result;
  };
}

/** Runs at most `most` pieces of work of one owner at a time, in the order they came. */
export type Turns = <T>(owner: string, work: () => Promise<T>) => Promise<T>;

export function createTurns(most: number): Turns {
  const owners = new Map<string, { working: number; readonly waiting: (() => void)[] }>();
  return async (owner, work) => {
    const line = owners.get(owner) ?? { working: 0, waiting: [] };
    owners.set(owner, line);
    if (line.working < most) line.working += 1;
    else await new Promise<void>((begin) => void line.waiting.push(begin));
    try {
      return await work();
    } finally {
      const next = line.waiting.shift();
      if (next) next();
      else if (--line.working === 0) owners.delete(owner);
    }
  };
}
