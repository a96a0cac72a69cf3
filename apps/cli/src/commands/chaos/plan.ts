import type { DurablePoint, Victim } from "./durable-points.ts";

/** One repetition: whom to kill, and where. */
export interface Strike {
  readonly point: DurablePoint;
  readonly victim: Victim;
}

export interface PlanOptions {
  readonly points: readonly DurablePoint[];
  readonly victims: readonly Victim[];
  /** No more than so many strikes, spread evenly over the run, the victims taking turns. Default: every point with every victim. */
  readonly atMost?: number;
}

export function planStrikes({ points, victims, atMost }: PlanOptions): Strike[] {
  if (atMost === undefined || atMost >= points.length * victims.length) {
    return points.flatMap((point) => victims.map((victim) => ({ point, victim })));
  }
  // Round by round through all points, each time with the next victim; of the last round as many as are left, evenly spread.
  const rounds = Math.floor(atMost / points.length);
  const whole = Array.from({ length: rounds }, (_, round) =>
    points.map((point, index) => ({ point, victim: victims[(index + round) % victims.length] as Victim })),
  ).flat();
  const left = atMost - whole.length;
  const rest = Array.from({ length: left }, (_, index): Strike => {
    const at = Math.floor((index * points.length) / left);
    // By its number in the sample where nothing is taken yet: a step that is a multiple of the victims would always hit the same.
    const turn = rounds === 0 ? index : at + rounds;
    return { point: points[at] as DurablePoint, victim: victims[turn % victims.length] as Victim };
  });
  return [...whole, ...rest];
}
