import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import type { Engine } from "@stigmer/engine";
import type { RunStatuses } from "../executions/run-statuses.ts";
import type { Principal } from "../interceptors/principal.ts";
import type { Logger } from "../logger.ts";
import type { Secrets } from "../secrets/secrets.ts";
import type { Store } from "../store/store.ts";

export interface ServicesOptions {
  readonly store: Store;
  /** Made before the engine, whose `onFinished` and `onExhausted` go to its `finish` and `fail`. */
  readonly runs: RunStatuses;
  readonly engine: Pick<Engine, "start" | "cancel">;
  readonly secrets: Secrets;
  readonly principalOf: (context: HandlerContext) => Principal;
  /** In local mode an empty organisation means `local`. */
  readonly mode: "local" | "cloud";
  readonly logger: Logger;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly clock?: () => number;
}

/** Answers the function that registers every service of the API but the runner's. */
export declare function createServices(options: ServicesOptions): (router: ConnectRouter) => void;
