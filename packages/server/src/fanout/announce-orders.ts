import type { Engine } from "@stigmer/engine";
import type { Fanout } from "./fanout.ts";

/** The same engine, that tells the runner which holds a run of each thing that was stored for it. */
export function announceOrders<E extends Engine>(engine: E, { wake }: Pick<Fanout, "wake">): E {
  const announced =
    <A extends readonly unknown[], R>(order: (executionId: string, ...rest: A) => Promise<R>) =>
    async (executionId: string, ...rest: A): Promise<R> => {
      const stored = await order(executionId, ...rest);
      wake(executionId);
      return stored;
    };
  return {
    ...engine,
    cancel: announced(engine.cancel),
    pause: announced(engine.pause),
    resume: announced(engine.resume),
    deliver: announced(engine.deliver),
  };
}
