import type { Clock } from "../clock.ts";
import { createOthersAtWork } from "./others-at-work.ts";

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

/** Runs the work of an owner one piece after the other, in the order it came, while another owner is at work; else all of it at once. */
export type Turns = <T>(owner: string, work: () => Promise<T>) => Promise<T>;

export function createTurns(clock: Pick<Clock, "now">): Turns {
  const owners = new Map<string, Line>();
  const others = createOthersAtWork(() => clock.now());

  function beginNext(owner: string, line: Line): void {
    while (line.waiting.length > 0 && (line.working === 0 || !others.besides(owner))) line.waiting.shift()?.();
  }

  return async (owner, work) => {
    others.saw(owner);
    const line = owners.get(owner) ?? { working: 0, waiting: [] };
    owners.set(owner, line);
    await new Promise<void>((resolve) => {
      line.waiting.push(() => {
        line.working += 1;
        resolve();
      });
      beginNext(owner, line);
    });
    try {
      return await work();
    } finally {
      line.working -= 1;
      beginNext(owner, line);
      if (line.working === 0) owners.delete(owner);
    }
  };
}

interface Line {
  working: number;
  /** Each begins its piece. */
  readonly waiting: (() => void)[];
}
