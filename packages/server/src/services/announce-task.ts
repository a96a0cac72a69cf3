import type { Engine } from "@stigmer/engine";
import type { Logger } from "../logger.ts";

/**
 * Tells the engine of a task that is stored. Never fails the call that stored it: without being told the engine finds
 * the task too, only later. `org` is the task's; empty where it is the server's own.
 */
export async function announceTask(
  engine: Pick<Engine, "start">,
  { id: taskId, org }: { readonly id: string; readonly org: string },
  logger: Logger,
): Promise<void> {
  try {
    await engine.start(taskId, { org });
  } catch (error) {
    logger.warn({ taskId, err: error }, "the engine could not be told of a new task");
  }
}
