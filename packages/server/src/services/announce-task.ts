import type { Engine } from "@stigmer/engine";
import type { Logger } from "../logger.ts";

/**
 * Tells the engine of a task that is stored. Never fails the call that stored it: without being told the engine finds
 * the task too, only later.
 */
export async function announceTask(engine: Pick<Engine, "start">, taskId: string, logger: Logger): Promise<void> {
  try {
    await engine.start(taskId);
  } catch (error) {
    logger.warn({ taskId, err: error }, "the engine could not be told of a new task");
  }
}
