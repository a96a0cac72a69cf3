import type { Caller } from "../caller.ts";
import type { World } from "../world.ts";

/** Makes one call of one method as `client`, and looks at what it answered and at what came of it. */
export type Case = (client: Caller, world: World) => Promise<void>;

/** By `package.Service/method`. */
export type Cases = Readonly<Record<string, Case>>;
