/** Knows whether an owner has what it shares with others to itself, such as an organization its server. */
export interface OthersAtWork {
  /** Now it does something. */
  saw(owner: string): void;
  /** Whether any but this one did something in the last second. */
  besides(owner: string): boolean;
}

/** For so long after its last work an owner counts as at work, in milliseconds. */
const AT_WORK_MS = 1_000;

/** `now` is in milliseconds. */
export function createOthersAtWork(now: () => number): OthersAtWork {
  let last = { owner: "", at: Number.NEGATIVE_INFINITY };
  /** The last one of another owner than that. */
  let before = last;
  return {
    saw(owner) {
      if (owner !== last.owner) before = last;
      last = { owner, at: now() };
    },
    besides: (owner) => now() - (last.owner === owner ? before : last).at < AT_WORK_MS,
  };
}
