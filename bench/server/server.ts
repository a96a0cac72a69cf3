// What the API server costs: those who watch, each event, each list.
import { given, type Parts } from "../parts.ts";
import { eventCost } from "./event-cost.ts";
import { listCost } from "./list-cost.ts";
import { neighbours } from "./neighbours.ts";
import { watchDelay } from "./watch-delay.ts";

/** Needs Node and Linux's /proc, and for `neighbours` a Postgres, because organisations share no laptop. */
export function server(): Parts {
  return {
    watch: watchDelay,
    events: eventCost,
    lists: listCost,
    neighbours: given(["STIGMER_TEST_POSTGRES_URL"], neighbours),
  };
}
