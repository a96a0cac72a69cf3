import type { ActivityContext } from "@stigmer/engine";
import type { JsonLogger as Logger } from "@stigmer/telemetry";

/** Says when a run under way is asked for something. Answers the function that ends it. */
export function logOrders({ pause, inbox }: ActivityContext, executionId: string, logger: Logger): () => void {
  const onPause = (): void => {
    logger.info({ executionId, reason: (pause.reason as Error).message }, "run was asked to pause");
  };
  if (pause.aborted) onPause();
  else pause.addEventListener("abort", onPause, { once: true });
  // Without a look at what it was: what is looked at here, the run would seem to have taken in.
  const unsubscribe = inbox.subscribe(() => logger.info({ executionId }, "run was sent something"));
  return () => {
    pause.removeEventListener("abort", onPause);
    unsubscribe();
  };
}
