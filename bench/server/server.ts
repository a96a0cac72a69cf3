// What the API server costs: those who watch, each event, each list.
import type { Figure } from "../report.ts";
import { eventCost } from "./event-cost.ts";
import { listCost } from "./list-cost.ts";
import { watchDelay } from "./watch-delay.ts";

/** Needs nothing but Node, and Linux's /proc. */
export function server(): Readonly<Record<string, () => Promise<readonly Figure[]>>> {
  return { watch: watchDelay, events: eventCost, lists: listCost };
}
